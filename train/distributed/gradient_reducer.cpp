#include "train/distributed/gradient_reducer.h"

#include "tensor/transfer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

#ifdef VISAGE_CUDA
#include "tensor/cuda/stream.h"
#endif

namespace visage::train {
namespace {

constexpr std::int64_t kAlignment = 64;  // elements; kernels want 16 bytes, caches 64

std::int64_t room_of(const Tensor& x) { return (x.numel() + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

struct GradientReducer::Bucket {
  std::vector<std::size_t> parameters;
  std::int64_t missing = 0;  // of them, not ready yet
  Tensor sum;                // their gradients, one after the other
};

/// Where buckets are summed while the caller goes on.
class GradientReducer::Lane {
 public:
  virtual ~Lane() = default;
  virtual void start(const Tensor& bucket) = 0;
  virtual void wait() = 0;
  static std::unique_ptr<Lane> make(Communicator& group);

 private:
  class OnThread;
  class OnStream;
};

class GradientReducer::Lane::OnThread final : public Lane {
 public:
  explicit OnThread(Communicator& group) : group_(group), thread_([this] { work(); }) {}
  ~OnThread() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
      queue_.clear();
    }
    changed_.notify_all();
    thread_.join();
  }

  void start(const Tensor& bucket) override {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(bucket);
    }
    changed_.notify_all();
  }

  void wait() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return (queue_.empty() && !busy_) || failure_; });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return ending_ || (!queue_.empty() && !failure_); });
      if (ending_) return;
      const Tensor bucket = std::move(queue_.front());
      queue_.pop_front();
      busy_ = true;
      lock.unlock();
      std::exception_ptr failure;
      try {
        group_.all_reduce(bucket);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      busy_ = false;
      failure_ = failure;
      changed_.notify_all();
    }
  }

  Communicator& group_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Tensor> queue_;
  bool busy_ = false, ending_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

#ifdef VISAGE_CUDA
class GradientReducer::Lane::OnStream final : public Lane {
 public:
  explicit OnStream(Communicator& group) : group_(group) {}
  // Buckets must not go while the stream uses them.
  ~OnStream() override {
    try {
      stream_.synchronize();
    } catch (const Error&) {
    }
  }

  void start(const Tensor& bucket) override {
    written_.record(cuda::current_stream());
    written_.make_wait(stream_.handle());
    const cuda::StreamScope scope(stream_.handle());
    group_.all_reduce(bucket);
  }
  void wait() override {
    summed_.record(stream_.handle());
    summed_.make_wait(cuda::current_stream());
  }

 private:
  Communicator& group_;
  cuda::Stream stream_;
  cuda::Event written_, summed_;
};
#endif

std::unique_ptr<GradientReducer::Lane> GradientReducer::Lane::make(Communicator& group) {
#ifdef VISAGE_CUDA
  if (group.device().type == DeviceType::cuda) return std::make_unique<OnStream>(group);
#endif
  return std::make_unique<OnThread>(group);
}

GradientReducer::GradientReducer(Communicator& group, std::vector<Tensor> parameters, std::int64_t bucket_bytes)
    : group_(group),
      parameters_(std::move(parameters)),
      bucket_bytes_(bucket_bytes),
      bucket_of_(parameters_.size()),
      lane_(Lane::make(group)) {
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    check<DTypeError>(parameters_[p].dtype() == DType::f32, "reducing gradients: a parameter is ",
                      parameters_[p].dtype());
    index_[parameters_[p].autograd_meta().get()] = p;
  }
  std::vector<std::size_t> order(parameters_.size());
  std::iota(order.rbegin(), order.rend(), std::size_t{0});
  make_buckets(order);
}

GradientReducer::~GradientReducer() = default;

void GradientReducer::make_buckets(const std::vector<std::size_t>& order) {
  buckets_.clear();
  std::int64_t elements = 0;
  const auto place = [&](Bucket& bucket) {
    bucket.sum = Tensor::zeros({elements}, DType::f32, group_.device());
    std::int64_t at = 0;
    for (const std::size_t p : bucket.parameters) {
      const Dims& size = parameters_[p].size();
      autograd::place_grad(parameters_[p], Tensor::alias(bucket.sum, size, contiguous_strides(size), at));
      at += room_of(parameters_[p]);
    }
    bucket.missing = std::ssize(bucket.parameters);
    elements = 0;
  };
  for (const std::size_t p : order) {
    const std::int64_t room = room_of(parameters_[p]);
    if (buckets_.empty() || (elements + room) * std::int64_t{sizeof(float)} > bucket_bytes_) {
      if (!buckets_.empty()) place(buckets_.back());
      buckets_.emplace_back();
    }
    buckets_.back().parameters.push_back(p);
    bucket_of_[p] = buckets_.size() - 1;
    elements += room;
  }
  if (!buckets_.empty()) place(buckets_.back());
  ready_.assign(parameters_.size(), false);
}

void GradientReducer::ready(const autograd::Meta& leaf) {
  const auto found = index_.find(&leaf);
  if (found == index_.end() || ready_[found->second]) return;
  const std::size_t p = found->second;
  ready_[p] = true;
  order_.push_back(p);
  --buckets_[bucket_of_[p]].missing;
  start_complete_buckets();
}

void GradientReducer::start_complete_buckets() {
  for (; started_ < buckets_.size() && buckets_[started_].missing == 0; ++started_) {
    for (const std::size_t p : buckets_[started_].parameters) autograd::complete_grad(parameters_[p]);
    lane_->start(buckets_[started_].sum);
  }
}

void GradientReducer::finish() {
  for (std::size_t p = 0; p < parameters_.size(); ++p)
    if (!ready_[p]) ready(*std::static_pointer_cast<autograd::Meta>(parameters_[p].autograd_meta()));
  lane_->wait();
  started_ = 0;
  ready_.assign(parameters_.size(), false);
  for (Bucket& bucket : buckets_) bucket.missing = std::ssize(bucket.parameters);
}

void GradientReducer::begin() {
  if (!learned_ && !order_.empty()) {
    make_buckets(order_of_first());
    learned_ = true;
  }
  order_.clear();
  for (const Tensor& parameter : parameters_) autograd::zero_grad(parameter);
}

std::vector<std::size_t> GradientReducer::order_of_first() {
  const Tensor order = Tensor::empty({std::ssize(order_)}, DType::f64);
  std::ranges::copy(order_, order.data<double>());
  const Tensor there = to_device(order, group_.device());
  group_.broadcast(there);
  const Tensor here = to_device(there, {});
  return {here.data<double>(), here.data<double>() + here.numel()};
}

std::vector<std::vector<std::size_t>> GradientReducer::buckets() const {
  std::vector<std::vector<std::size_t>> all;
  for (const Bucket& bucket : buckets_) all.push_back(bucket.parameters);
  return all;
}

}  // namespace visage::train
