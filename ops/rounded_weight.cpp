#include "ops/rounded_weight.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_kernels.h"
#include "ops/gradient/targets.h"
#include "tensor/cuda/graph.h"

#include <list>
#include <map>
#include <mutex>

namespace visage::ops {
namespace {

struct Rounded {
  std::weak_ptr<Storage> storage;
  std::uint64_t version;  // of the storage that `copy` holds
  const void* data;
  Tensor copy;
  const void* stream;  // on which it was rounded
  std::shared_ptr<cuda::Event> ready;
};

class RoundedWeights {
 public:
  Tensor find(const char* op, const Tensor& weight, DType dtype, StreamHandle stream) {
    const std::lock_guard lock(mutex_);
    const std::shared_ptr<Storage>& storage = weight.storage();
    Rounded* const kept = kept_copy(weight, dtype);
    const bool capturing = cuda::is_capturing(stream);
    if (kept && kept->version == storage->version()) return on_stream(*kept, stream, capturing);
    // What a capture records has not happened: it must not pass for a copy that is there.
    if (capturing) return contiguous_as(op, weight, dtype);
    release_dead();
    if (kept) return round(*kept, weight, stream);
    Rounded fresh{storage,
                  0,
                  weight.view().data,
                  Tensor::empty(weight.size(), dtype, weight.device()),
                  nullptr,
                  std::make_shared<cuda::Event>()};
    const Tensor copy = round(fresh, weight, stream);
    weights_[storage.get()].push_back(std::move(fresh));  // last: without a rounding there is nothing to keep
    return copy;
  }

 private:
  /// Null if there is none, of whatever version.
  Rounded* kept_copy(const Tensor& weight, DType dtype) {
    const auto of_storage = weights_.find(weight.storage().get());
    if (of_storage == weights_.end()) return nullptr;
    for (Rounded& r : of_storage->second)
      if (!r.storage.expired() && r.data == weight.view().data && r.copy.dtype() == dtype &&
          r.copy.size() == weight.size())
        return &r;
    return nullptr;
  }

  static Tensor round(Rounded& to, const Tensor& weight, StreamHandle stream) {
    gradient_detail::accumulate_cuda({weight.view(), {to.copy.view(), 0}}, stream);
    to.ready->record(stream);
    to.stream = stream.raw;
    to.version = weight.storage()->version();
    return to.copy;
  }

  /// The copy, whose rounding comes first on `stream` too. A capture cannot wait for work that it does not hold: the
  /// host does.
  static Tensor on_stream(const Rounded& from, StreamHandle stream, bool capturing) {
    if (from.stream != stream.raw) capturing ? from.ready->synchronize() : from.ready->make_wait(stream);
    return from.copy;
  }

  /// Releases the copies of weights that are gone, within as many calls as there are weights: a step of training, after
  /// which every weight is rounded again, does not look at all of them for each.
  void release_dead() {
    if (++calls_since_release_ < weights_.size()) return;
    calls_since_release_ = 0;
    for (auto weight = weights_.begin(); weight != weights_.end();) {
      std::erase_if(weight->second, [](const Rounded& r) { return r.storage.expired(); });
      weight = weight->second.empty() ? weights_.erase(weight) : std::next(weight);
    }
  }

  std::mutex mutex_;
  std::map<const Storage*, std::list<Rounded>> weights_;
  std::size_t calls_since_release_ = 0;
};

/// Never destroyed: the memory of the copies may be gone before static objects are. Inline like everything that only a
/// GPU needs, so that a build without the backend leaves it out.
inline RoundedWeights& rounded_weights() {
  static auto& all = *new RoundedWeights;
  return all;
}

}  // namespace

Tensor rounded_weight(const char* op, const Tensor& weight, DType dtype) {
  if (weight.dtype() == dtype) return weight;
  Tensor result;
  on_device(
      weight.device(), [&] { result = contiguous_as(op, weight, dtype); },
      [&](StreamHandle stream) { result = rounded_weights().find(op, weight, dtype, stream); });
  return result;
}

}  // namespace visage::ops
