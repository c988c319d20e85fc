#include "nn/checkpoint/load.h"

#include "tests/nn/checkpoint/checkpoint_test_support.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace visage::nn {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kConv = "backbone.stem.conv1.weight";

Tensor counting(const Dims& size, float first = 0.f) {
  Tensor result = Tensor::empty(size);
  for (std::int64_t i = 0; i < result.numel(); ++i) result.data<float>()[i] = first + static_cast<float>(i);
  return result;
}

struct Model {
  ParamStore store;
  Tensor conv, query, adapter, head, empty_weight, appearance;

  Model() {
    const Scope root(store);
    conv = (root / "backbone" / "stem" / "conv1").conv_weight("weight", {2, 3, 4, 5});
    query = (root / "sem_seg_head" / "predictor" / "query_feat").param("weight", {4, 2}, Role::embedding);
    adapter = (root / "sem_seg_head" / "pixel_decoder" / "adapter_1").param("bias", {3}, Role::bias);
    head = (root / "sem_seg_head" / "predictor" / "class_embed").param("weight", {5, 2}, Role::weight);
    empty_weight = (root / "criterion").buffer("empty_weight", {5});
    appearance = (root / "appearance_decoder" / "reid_embd").param("bias", {2}, Role::bias);
    for (const Entry& entry : store.entries()) std::fill_n(entry.value.data<float>(), entry.value.numel(), -1.f);
  }
};

Checkpoint checkpoint_of(const Model& model) {
  Checkpoint result;
  result.path = "weights.pth";
  for (const Entry& entry : model.store.entries()) result.tensors.push_back({entry.name, counting(entry.file_size())});
  return result;
}

NamedTensor& named(Checkpoint& checkpoint, std::string_view name) {
  for (NamedTensor& one : checkpoint.tensors)
    if (one.name == name) return one;
  throw std::out_of_range(std::string(name));
}

TEST(LoadInto, PermutesConvolutionsAndBumpsVersions) {
  Model model;
  const std::uint64_t version = model.conv.storage()->version();
  const LoadReport report = load_into(model.store, checkpoint_of(model));
  EXPECT_EQ(report.loaded.size(), 6u);
  EXPECT_TRUE(report.renamed.empty() && report.reinitialised.empty() && report.non_finite.empty());
  EXPECT_GT(model.conv.storage()->version(), version);
  for (std::int64_t o = 0; o < 2; ++o)
    for (std::int64_t y = 0; y < 3; ++y)
      for (std::int64_t x = 0; x < 4; ++x)
        for (std::int64_t i = 0; i < 5; ++i)
          EXPECT_EQ(model.conv.data<float>()[((o * 3 + y) * 4 + x) * 5 + i],
                    static_cast<float>(((o * 5 + i) * 3 + y) * 4 + x));
}

TEST(LoadInto, FileTensorsAreTheInverse) {
  const test::TemporaryFolder folder;
  Model first, second;
  load_into(first.store, checkpoint_of(first));
  write_safetensors(folder / "x.safetensors", file_tensors(first.store));
  const Checkpoint read = read_checkpoint(folder / "x.safetensors");
  EXPECT_EQ(read.find(kConv)->size(), (Dims{2, 5, 3, 4}));
  EXPECT_EQ(read.find(kConv)->data<float>()[7], 7.f);
  load_into(second.store, read);
  for (const Entry& entry : first.store.entries())
    EXPECT_EQ(test::contiguous_bytes(entry.value), test::contiguous_bytes(second.store.find(entry.name)->value));
}

TEST(LoadInto, ConvertsEveryDType) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i32, DType::i64, DType::u8}) {
    Model model;
    Checkpoint checkpoint = checkpoint_of(model);
    Tensor value = Tensor::empty({3}, dtype);
    for (int i = 0; i < 3; ++i) {
      switch (dtype) {
        case DType::f32: value.data<float>()[i] = static_cast<float>(i); break;
        case DType::f16: value.data<std::uint16_t>()[i] = std::uint16_t(i == 0 ? 0 : i == 1 ? 0x3c00 : 0x4000); break;
        case DType::bf16: value.data<std::uint16_t>()[i] = std::uint16_t(i == 0 ? 0 : i == 1 ? 0x3f80 : 0x4000); break;
        case DType::f64: value.data<double>()[i] = i; break;
        case DType::i32: value.data<std::int32_t>()[i] = i; break;
        case DType::i64: value.data<std::int64_t>()[i] = i; break;
        default: value.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(i);
      }
    }
    named(checkpoint, "sem_seg_head.pixel_decoder.adapter_1.bias").value = value;
    load_into(model.store, checkpoint);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(model.adapter.data<float>()[i], static_cast<float>(i)) << name_of(dtype);
  }
}

TEST(LoadInto, OlderNamesAreUnderstood) {
  Model model;
  Checkpoint checkpoint = checkpoint_of(model);
  named(checkpoint, "sem_seg_head.pixel_decoder.adapter_1.bias").name = "module.sem_seg_head.adapter_1.bias";
  named(checkpoint, "sem_seg_head.predictor.query_feat.weight").name = "sem_seg_head.predictor.static_query.weight";
  named(checkpoint, kConv).name = "stem.conv1.weight";
  checkpoint.tensors.push_back({"pixel_mean", counting({3, 1, 1})});
  checkpoint.tensors.push_back({"module.bn.num_batches_tracked", counting({})});
  const LoadReport report = load_into(model.store, checkpoint);
  EXPECT_THAT(report.renamed,
              ElementsAre("stem.conv1.weight -> backbone.stem.conv1.weight",
                          "sem_seg_head.predictor.static_query.weight -> sem_seg_head.predictor.query_feat.weight",
                          "module.sem_seg_head.adapter_1.bias -> sem_seg_head.pixel_decoder.adapter_1.bias"));
  EXPECT_EQ(report.ignored.size(), 2u);
  EXPECT_EQ(model.adapter.data<float>()[2], 2.f);
}

TEST(LoadInto, TwoNamesForOneEntryAreRefused) {
  Model model;
  Checkpoint checkpoint = checkpoint_of(model);
  checkpoint.tensors.push_back({"module.criterion.empty_weight", counting({5})});
  EXPECT_THAT(message_of<CheckpointError>([&] { load_into(model.store, checkpoint); }), HasSubstr("both name"));
}

TEST(LoadInto, DifferencesAreListedAndNothingIsWritten) {
  Model model;
  Checkpoint checkpoint = checkpoint_of(model);
  named(checkpoint, "criterion.empty_weight").name = "criterion.weight\n";
  named(checkpoint, kConv).value = counting({2, 5, 3, 3});
  for (int i = 0; i < 11; ++i) checkpoint.tensors.push_back({"extra" + std::to_string(i), counting({1})});
  const std::string message = message_of<CheckpointError>([&] { load_into(model.store, checkpoint); });
  EXPECT_THAT(message, HasSubstr("weights.pth: does not fit the model"));
  EXPECT_THAT(message, HasSubstr("missing in the file (1): criterion.empty_weight"));
  EXPECT_THAT(message, HasSubstr("unexpected in the file (12): 'criterion.weight\\x0a', 'extra0'"));
  EXPECT_THAT(message, HasSubstr("'extra6', ... 4 more"));
  EXPECT_THAT(message, Not(HasSubstr("'extra7'")));
  EXPECT_THAT(message,
              HasSubstr("other shape (1): backbone.stem.conv1.weight (file [2, 5, 3, 3], model [2, 5, 3, 4])"));
  for (const Entry& entry : model.store.entries()) EXPECT_EQ(entry.value.data<float>()[0], -1.f) << entry.name;
}

TEST(LoadInto, ImageCheckpointKeepsTheInitialHeads) {
  Model model;
  Checkpoint checkpoint = checkpoint_of(model);
  named(checkpoint, "sem_seg_head.predictor.class_embed.weight").value = counting({81, 2});
  named(checkpoint, "criterion.empty_weight").value = counting({81});
  std::erase_if(checkpoint.tensors, [](const NamedTensor& t) { return t.name.starts_with("appearance"); });
  EXPECT_THROW(load_into(model.store, checkpoint), CheckpointError);

  const LoadReport report = load_into(model.store, checkpoint, image_checkpoint_options());
  EXPECT_EQ(report.loaded.size(), 3u);
  EXPECT_THAT(report.reinitialised,
              ElementsAre("sem_seg_head.predictor.class_embed.weight (file [81, 2], model [5, 2])",
                          "criterion.empty_weight (file [81], model [5])",
                          "appearance_decoder.reid_embd.bias (not in the file)"));
  EXPECT_THAT(report.summary(), HasSubstr("3 tensors loaded"));
  EXPECT_EQ(model.head.data<float>()[9], -1.f);
  EXPECT_EQ(model.appearance.data<float>()[1], -1.f);
  EXPECT_EQ(model.query.data<float>()[7], 7.f);
}

TEST(LoadInto, NonFiniteWeightsAreReported) {
  Model model;
  Checkpoint checkpoint = checkpoint_of(model);
  named(checkpoint, "criterion.empty_weight").value.data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(load_into(model.store, checkpoint).non_finite, ElementsAre("criterion.empty_weight"));
}

}  // namespace
}  // namespace visage::nn
