#include "train/distributed/gradient_reducer.h"

#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "tests/support/values.h"
#include "tests/train/distributed/group.h"

#include <gtest/gtest.h>

#include <numeric>

namespace visage::train {
namespace {

/// x W_0^T W_1^T ... and, beside it, a parameter that is used first and a parameter that is not used.
struct Chain {
  std::vector<Tensor> parameters;
  Chain() {
    for (std::uint64_t i = 0; i < 4; ++i) parameters.push_back(test::random_normal({6, 6}, i));
    parameters.push_back(test::random_normal({3}, 9));
    for (const Tensor& p : parameters) autograd::set_requires_grad(p);
  }
  void backward(const Tensor& x, GradientReducer* reducer) const {
    autograd::Tape tape;
    Tensor y = x;
    for (int i = 0; i < 4; ++i) y = ops::linear(y, parameters[i], {});
    const auto ready = [&](const autograd::Meta& leaf) {
      if (reducer) reducer->ready(leaf);
    };
    tape.backward(y, Tensor::ones(y.size()), ready);
  }
  std::vector<double> gradient(int i) const { return test::values_of(autograd::grad(parameters[i])); }
};

TEST(DistributedGradients, SumsWhatEveryProcessHas) {
  for (const std::int64_t bucket_bytes : {std::int64_t{1}, std::int64_t{600}, GradientReducer::kBucketBytes}) {
    test::in_group(2, [&](HostCommunicator& group) {
      const Chain chain, alone[2];
      GradientReducer reducer(group, chain.parameters, bucket_bytes);
      for (std::uint64_t step = 0; step < 3; ++step) {
        const Tensor x[2] = {test::random_normal({2, 6}, 20 + step), test::random_normal({2, 6}, 40 + step)};
        reducer.begin();
        chain.backward(x[group.rank()], &reducer);
        reducer.finish();
        for (int r = 0; r < 2; ++r) {
          for (const Tensor& p : alone[r].parameters) autograd::zero_grad(p);
          alone[r].backward(x[r], nullptr);
        }
        for (int i = 0; i < 4; ++i) {
          const auto sum = chain.gradient(i), a = alone[0].gradient(i), b = alone[1].gradient(i);
          for (std::size_t k = 0; k < sum.size(); ++k)
            EXPECT_EQ(sum[k], static_cast<double>(static_cast<float>(a[k]) + static_cast<float>(b[k])));
        }
        EXPECT_EQ(chain.gradient(4), std::vector<double>(3, 0));  // nobody has one
      }
    });
  }
}

/// Counts calls, and tells how many gradients were final at each.
class Recording final : public HostCommunicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce(const Tensor& x) override { sums.push_back(x.numel()); }
  void broadcast(const Tensor&) override { ++broadcasts; }
  std::vector<std::string> gather(const std::string& bytes) override { return {bytes}; }
  void barrier() override {}

  std::vector<std::int64_t> sums;
  int broadcasts = 0;
};

TEST(DistributedGradients, PutsGradientsIntoBucketsInTheOrderOfTheirEnd) {
  // 64 elements each, 256 bytes: two to a bucket.
  std::vector<Tensor> parameters;
  for (int i = 0; i < 5; ++i) {
    parameters.push_back(Tensor::ones({60}));
    autograd::set_requires_grad(parameters.back());
  }
  Recording group;
  GradientReducer reducer(group, parameters, 512);
  using Buckets = std::vector<std::vector<std::size_t>>;
  EXPECT_EQ(reducer.buckets(), (Buckets{{4, 3}, {2, 1}, {0}}));
  const std::vector<std::size_t> order{3, 0, 4, 2, 1};
  const auto meta = [&](std::size_t i) -> const autograd::Meta& {
    return static_cast<const autograd::Meta&>(*parameters[i].autograd_meta());
  };
  for (int step = 0; step < 2; ++step) {
    reducer.begin();
    for (const std::size_t i : order) reducer.ready(meta(i));
    reducer.finish();
    EXPECT_EQ(group.sums, (std::vector<std::int64_t>{128, 128, 64}));
    group.sums.clear();
  }
  EXPECT_EQ(reducer.buckets(), (Buckets{{3, 0}, {4, 2}, {1}}));
  EXPECT_EQ(group.broadcasts, 1);
}

class Failing final : public HostCommunicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  void all_reduce(const Tensor&) override { fail<CommunicationError>("process 1 is gone"); }
  void broadcast(const Tensor&) override {}
  std::vector<std::string> gather(const std::string&) override { return {}; }
  void barrier() override {}
};

TEST(DistributedGradients, TellsWhoWaitsThatAProcessIsGone) {
  const Chain chain;
  Failing group;
  GradientReducer reducer(group, chain.parameters, 200);
  reducer.begin();
  chain.backward(test::random_normal({2, 6}, 1), &reducer);
  EXPECT_THROW(reducer.finish(), CommunicationError);
}

TEST(TapeOnFinal, TellsEveryLeafOnceWhenNothingIsToCome) {
  const Tensor a = Tensor::ones({3}), b = Tensor::ones({3});
  for (const Tensor& t : {a, b}) autograd::set_requires_grad(t);
  autograd::Tape tape;
  const Tensor c = ops::add(a, b);  // the last on the way back
  const Tensor d = ops::add(c, b);  // b again
  std::vector<const void*> told;
  tape.backward(d, Tensor::ones({3}), [&](const autograd::Meta& leaf) {
    told.push_back(&leaf);
    EXPECT_TRUE(leaf.written);
  });
  EXPECT_EQ(told, (std::vector<const void*>{a.autograd_meta().get(), b.autograd_meta().get()}));
  EXPECT_EQ(test::values_of(autograd::grad(b)), std::vector<double>(3, 2));
}

}  // namespace
}  // namespace visage::train
