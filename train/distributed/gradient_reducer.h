#pragma once
#include "autograd/tape.h"
#include "train/distributed/communicator.h"

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace visage::train {

/// Sums the gradients of parameters over the processes of a group while the backward pass still runs. Gradients lie in
/// buckets, flat buffers of some MB, so that nothing is packed and few large sums are made; a bucket is summed as soon
/// as all its gradients are final and all buckets before it are on their way. On a GPU the sums run on a stream of
/// their own, on the CPU on a thread of their own.
///   reducer.begin();
///   tape.backward(loss, {}, [&](const auto& leaf) { reducer.ready(leaf); });
///   reducer.finish();
/// Parameters are put into buckets in the order in which their gradients became final on process 0 in the first step,
/// until then in reverse.
class GradientReducer {
 public:
  static constexpr std::int64_t kBucketBytes = 25 << 20;

  /// The parameters are f32 leaves on the device of the group. Takes care of where their gradients lie from now on. The
  /// group must outlive this object and is used by no one else between the first ready() and finish().
  GradientReducer(Communicator& group, std::vector<Tensor> parameters, std::int64_t bucket_bytes = kBucketBytes);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// Forgets the gradients: a new step.
  void begin();
  /// The gradient of a leaf will not change until finish(). Leaves that are no parameters are ignored.
  void ready(const autograd::Meta& leaf);
  /// Sums what has not been said to be ready too, with zeros where a process has no gradient, and lets the current
  /// stream (on the CPU: the caller) wait for all sums: the gradients of the parameters are those of the group.
  /// throws CommunicationError.
  void finish();

  /// Indices of the parameters, bucket by bucket.
  std::vector<std::vector<std::size_t>> buckets() const;

 private:
  struct Bucket;
  class Lane;
  void make_buckets(const std::vector<std::size_t>& order);
  void start_complete_buckets();
  std::vector<std::size_t> order_of_first();

  Communicator& group_;
  const std::vector<Tensor> parameters_;
  const std::int64_t bucket_bytes_;
  std::vector<Bucket> buckets_;
  std::unordered_map<const void*, std::size_t> index_;  // of a parameter, by the record of its gradient
  std::vector<std::size_t> bucket_of_;                  // a parameter
  std::vector<bool> ready_;                             // a parameter
  std::vector<std::size_t> order_;                      // in which they became ready in this step
  std::size_t started_ = 0;                             // buckets on their way
  bool learned_ = false;
  std::unique_ptr<Lane> lane_;
};

}  // namespace visage::train
