#include "ops/rounded_weight.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_kernels.h"
#include "ops/gradient/targets.h"
#include "tensor/cuda/graph.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <vector>

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
    std::vector<Rounded>& kept = weights_[storage.get()];
    std::erase_if(kept, [](const Rounded& r) { return r.storage.expired(); });
    const void* const data = weight.view().data;
    const auto found = std::find_if(kept.begin(), kept.end(), [&](const Rounded& r) {
      return r.data == data && r.copy.dtype() == dtype && r.copy.size() == weight.size();
    });
    const bool capturing = cuda::is_capturing(stream);
    if (found != kept.end() && found->version == storage->version()) return on_stream(*found, stream, capturing);
    // What a capture records has not happened: it must not pass for a copy that is there.
    if (capturing) return contiguous_as(op, weight, dtype);
    if (found != kept.end()) return round(*found, weight, stream);
    kept.push_back({storage, 0, data, Tensor::empty(weight.size(), dtype, weight.device()), nullptr,
                    std::make_shared<cuda::Event>()});
    const Tensor copy = round(kept.back(), weight, stream);
    sweep();
    return copy;
  }

 private:
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

  void sweep() {  // forgets the weights of models that are gone
    for (auto weight = weights_.begin(); weight != weights_.end();) {
      std::erase_if(weight->second, [](const Rounded& r) { return r.storage.expired(); });
      weight = weight->second.empty() ? weights_.erase(weight) : std::next(weight);
    }
  }

  std::mutex mutex_;
  std::map<const Storage*, std::vector<Rounded>> weights_;
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
