// The order of streams when gradients are summed while backward runs, with streams that do nothing until something
// waits for them: a bucket that is summed before it is written, or read before it is summed, shows. Nothing is
// allocated or freed on the way, which would wait for everything.
#include "train/distributed/gradient_reducer.h"

#include "simt/control.h"
#include "tensor/cuda/pinned.h"
#include "tensor/cuda/stream.h"
#include "tensor/transfer.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage::train {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};
constexpr std::int64_t kElements = 64;

Tensor filled(float value) {
  const std::vector<float> values(kElements, value);
  return to_device(Tensor::from({kElements}, values.data()), kCuda);
}

/// Stands for a group whose sums are 1000: keeps what it was given.
class Recording final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  Device device() const override { return kCuda; }
  void all_reduce(const Tensor& x) override {
    cuda::copy_async(x, given[streams.size() % given.size()]);
    cuda::copy_async(sum, x);
    streams.push_back(cuda::current_stream().raw);
  }
  void broadcast(const Tensor&) override {}

  const std::vector<Tensor> given{filled(0), filled(0), filled(0)};
  const Tensor sum = filled(1000);
  std::vector<void*> streams;
};

// Either stream first: the one that must wait for the other.
class GradientReducerOnCuda : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(SumsFirst, GradientReducerOnCuda, ::testing::Bool());

TEST_P(GradientReducerOnCuda, SumsOnAStreamOfItsOwnInTheOrderOfTheData) {
  const simt::Streams previous = simt::set_streams(simt::Streams::lazy);
  {
    std::vector<Tensor> parameters;
    for (int i = 0; i < 3; ++i) {
      parameters.push_back(filled(0));
      autograd::set_requires_grad(parameters.back());
    }
    const std::vector<Tensor> gradients{filled(1), filled(2), filled(3)};
    const std::vector<Tensor> read{filled(0), filled(0), filled(0)};
    Recording group;
    GradientReducer reducer(group, parameters, 4 * kElements);  // a bucket each
    reducer.begin();
    for (std::size_t i = 3; i-- > 0;) {
      auto& meta = static_cast<autograd::Meta&>(*parameters[i].autograd_meta());
      const autograd::GradTarget target(&meta);
      cuda::copy_async(gradients[i], target.buffer());
      target.done();
      reducer.ready(meta);
      EXPECT_EQ(group.streams.size(), 3 - i) << "a complete bucket must be on its way";
    }
    if (GetParam()) cuda::synchronize({group.streams.front()});
    reducer.finish();
    for (std::size_t i = 0; i < 3; ++i) cuda::copy_async(autograd::grad(parameters[i]), read[i]);
    cuda::synchronize(cuda::current_stream());
    for (void* const stream : group.streams) EXPECT_NE(stream, cuda::current_stream().raw);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(test::values_of(read[i])[7], 1000) << "gradient " << i << " was read before it was summed";
      EXPECT_EQ(test::values_of(group.given[2 - i])[7], static_cast<double>(i + 1)) << "summed before it was written";
    }
  }
  simt::set_streams(previous);
}

}  // namespace
}  // namespace visage::train
