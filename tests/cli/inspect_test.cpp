#include "cli/inspect.h"

#include "cli/convert.h"
#include "nn/checkpoint/load.h"
#include "nn/init/test_weights.h"
#include "tensor/float16.h"
#include "tests/nn/checkpoint/checkpoint_test_support.h"
#include "tests/support/values.h"

#include <gmock/gmock.h>

#include <sstream>

namespace visage::cli {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

nn::ParamStore small_model() {
  nn::ParamStore store;
  const nn::Scope root(store);
  (root / "backbone" / "stem" / "conv1").conv_weight("weight", {4, 3, 3, 2});
  (root / "criterion").buffer("empty_weight", {5});
  return store;
}

TEST(Inspect, ListsTensorsTotalsAndMetadata) {
  const test::TemporaryFolder folder;
  nn::ParamStore store = small_model();
  nn::write_safetensors(folder / "x.safetensors", nn::file_tensors(store), {{"note\x1b", "a\nb"}});
  std::ostringstream out;
  inspect(folder / "x.safetensors", out);
  EXPECT_THAT(out.str(), ContainsRegex("backbone\\.stem\\.conv1\\.weight +f32 +\\[4, 2, 3, 3\\] +288 bytes"));
  EXPECT_THAT(out.str(), HasSubstr("safetensors, 2 tensors, 77 elements, 308 bytes"));
  EXPECT_THAT(out.str(), HasSubstr("metadata note\\x1b: a\\x0ab"));
}

TEST(Inspect, TestWeightsAreTheSameInBothFormats) {
  const test::TemporaryFolder folder;
  for (const char* name : {"w.safetensors", "w.pth"}) {
    nn::ParamStore store = small_model();
    std::ostringstream out;
    make_test_weights(store, "public", folder / name, out);
    EXPECT_THAT(out.str(), HasSubstr("2 tensors of test weights 'public'"));
    const nn::Checkpoint read = nn::read_checkpoint(folder / name);
    const Tensor* conv = read.find("backbone.stem.conv1.weight");
    ASSERT_TRUE(conv);
    EXPECT_EQ(conv->size(), (Dims{4, 2, 3, 3}));
    const float scale = std::sqrt(6.f / 18.f);
    EXPECT_EQ(conv->data<float>()[7], nn::hash_stream("public/backbone.stem.conv1.weight", 7) * scale);
    EXPECT_EQ(read.find("criterion.empty_weight")->data<float>()[4], 0.1f);
  }
}

TEST(Inspect, TestWeightsNeedAKnownEnding) {
  nn::ParamStore store = small_model();
  std::ostringstream out;
  EXPECT_THROW(make_test_weights(store, "public", "weights.bin", out), UsageError);
}

TEST(Convert, KeepsValuesAndDTypesBothWays) {
  const test::TemporaryFolder folder;
  const std::string source = test::golden_dir() + "/ckpt/small_legacy.pth";
  std::ostringstream out;
  convert({.input = source, .output = folder / "a.safetensors"}, out);
  convert({.input = folder / "a.safetensors", .output = folder / "b.pth"}, out);
  EXPECT_THAT(out.str(), HasSubstr("a.safetensors: 16 tensors from torch legacy"));
  const nn::Checkpoint want = nn::read_checkpoint(source), got = nn::read_checkpoint(folder / "b.pth");
  ASSERT_EQ(got.tensors.size(), want.tensors.size());
  for (const nn::NamedTensor& one : want.tensors) {
    const Tensor* tensor = got.find(one.name);
    ASSERT_TRUE(tensor) << one.name;
    EXPECT_EQ(tensor->dtype(), one.value.dtype()) << one.name;
    EXPECT_EQ(test::contiguous_bytes(*tensor), test::contiguous_bytes(one.value)) << one.name;
  }
  EXPECT_EQ(nn::read_checkpoint(folder / "a.safetensors").metadata.at("iteration"), "7");
}

TEST(Convert, RoundsToAnotherDType) {
  const test::TemporaryFolder folder;
  const std::vector<float> values = {1, -0.1f, 65504, 3e-5f};
  const Tensor step = Tensor::empty({1}, DType::i64);
  *step.data<std::int64_t>() = 7;
  const std::string source = folder / "a.safetensors", half = folder / "b.safetensors";
  nn::write_safetensors(source,
                        std::vector<nn::NamedTensor>{{"weight", Tensor::from({4}, values.data())}, {"step", step}});
  std::ostringstream out;
  convert({.input = source, .output = half, .dtype = DType::f16}, out);
  const nn::Checkpoint read = nn::read_checkpoint(half);
  ASSERT_EQ(read.find("weight")->dtype(), DType::f16);
  EXPECT_EQ(read.find("step")->dtype(), DType::i64) << "integers stay";
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_EQ(read.find("weight")->data<Half>()[i], static_cast<Half>(values[i]));
  const float large = 1e6f;
  nn::write_safetensors(source, std::vector<nn::NamedTensor>{{"weight", Tensor::from({1}, &large)}});
  EXPECT_THROW(convert({.input = source, .output = half, .dtype = DType::f16}, out), CheckpointError);
  EXPECT_NO_THROW(convert({.input = source, .output = half, .dtype = DType::bf16}, out));
}

TEST(Convert, BlendsTwoFilesOfAModel) {
  const test::TemporaryFolder folder;
  const auto write = [&](const char* name, const std::vector<float>& values) {
    const auto size = static_cast<std::int64_t>(values.size());
    nn::write_safetensors(folder / name, std::vector<nn::NamedTensor>{{"weight", Tensor::from({size}, values.data())}});
    return folder / name;
  };
  const std::string a = write("a.safetensors", {1, 2, -4}), b = write("b.safetensors", {5, 2, 4});
  std::ostringstream out;
  convert({.input = a, .output = folder / "c.safetensors", .blend = b, .share = 0.25}, out);
  const nn::Checkpoint read = nn::read_checkpoint(folder / "c.safetensors");
  EXPECT_THAT(test::values_of(*read.find("weight")), testing::ElementsAre(2, 2, -2));
  const std::string other = write("other.safetensors", {1, 2});
  EXPECT_THROW(convert({.input = a, .output = folder / "d.safetensors", .blend = other}, out), CheckpointError);
  EXPECT_THROW(convert({.input = a, .output = folder / "d.safetensors", .blend = b, .share = 2}, out), UsageError);
}

TEST(Convert, RefusesOtherEndingsBeforeReading) {
  std::ostringstream out;
  EXPECT_THROW(convert({.input = "no such file", .output = "x.bin"}, out), UsageError);
  EXPECT_THROW(convert({.input = "no such file", .output = "x.pth"}, out), InputError);
}

}  // namespace
}  // namespace visage::cli
