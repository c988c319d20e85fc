#include "visage/model/load_weights.h"

#include "nn/checkpoint/checkpoint.h"
#include "nn/init/test_weights.h"
#include "tests/support/files.h"
#include "tests/support/values.h"
#include "tests/visage/model/small_detector.h"

#include <gmock/gmock.h>

#include <limits>
#include <set>

namespace visage {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::StartsWith;

ModelConfig small_model(Mode mode) {
  ModelConfig config;
  config.backbone = {.depth = 18, .width = 8};
  config.detector = test::small_detector(mode);
  config.detector.decoder_layers = 2;
  return config;
}

std::set<std::string> names_of(const Model& model) {
  std::set<std::string> names;
  for (const nn::Entry& entry : model.params().entries()) names.insert(entry.name);
  return names;
}

// What the file of Mask2Former-VIS calls the parameters of its decoder.
std::set<std::string> decoder_names(int layers) {
  std::set<std::string> names;
  const auto add = [&](const std::string& name, std::initializer_list<const char*> parts) {
    for (const char* part : parts) names.insert("sem_seg_head.predictor." + name + "." + part);
  };
  for (int i = 0; i < layers; ++i) {
    const std::string number = "." + std::to_string(i) + ".";
    for (const auto& [layer, attention] : {std::pair{"self", "self_attn"}, std::pair{"cross", "multihead_attn"}}) {
      const std::string base = std::string("transformer_") + layer + "_attention_layers" + number;
      add(base + attention, {"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"});
      add(base + "norm", {"weight", "bias"});
    }
    for (const char* part : {"linear1", "linear2", "norm"})
      add("transformer_ffn_layers" + number + part, {"weight", "bias"});
  }
  for (const char* part : {"query_feat", "query_embed", "level_embed"}) add(part, {"weight"});
  for (const char* part : {"decoder_norm", "class_embed"}) add(part, {"weight", "bias"});
  for (int i = 0; i < 3; ++i) add("mask_embed.layers." + std::to_string(i), {"weight", "bias"});
  return names;
}

TEST(OfflineModel, HasTheNamesOfTheOnlineOneWithoutItsAppearanceBranch) {
  const std::set<std::string> online = names_of(Model(small_model(Mode::online))),
                              offline = names_of(Model(small_model(Mode::offline)));
  std::set<std::string> want = online;
  std::erase_if(want, [](const std::string& name) { return name.starts_with("appearance_decoder."); });
  EXPECT_LT(want.size(), online.size());
  EXPECT_EQ(offline, want);
  EXPECT_TRUE(offline.contains("criterion.empty_weight"));
  std::set<std::string> decoder;
  for (const std::string& name : offline) {
    if (name.starts_with("sem_seg_head.predictor.")) decoder.insert(name);
    EXPECT_TRUE(name.starts_with("backbone.") || name.starts_with("sem_seg_head.") || name == "criterion.empty_weight")
        << name;
  }
  EXPECT_EQ(decoder, decoder_names(2));
}

class ModeFiles : public testing::Test {
 protected:
  /// The weights of a model of this mode as a file.
  std::string file_of(Mode mode) {
    Model model(small_model(mode));
    nn::fill_test_weights(model.params(), "file");
    const std::string path = folder_ / (mode == Mode::online ? "online.pth" : "offline.pth");
    nn::write_pth(path, nn::file_tensors(model.params()));
    return path;
  }
  test::TemporaryFolder folder_;
};

TEST_F(ModeFiles, LoadIntoTheModelOfTheirMode) {
  for (const Mode mode : {Mode::online, Mode::offline}) {
    Model model(small_model(mode)), source(small_model(mode));
    nn::fill_test_weights(source.params(), "file");
    nn::fill_test_weights(model.params(), "other");
    const nn::LoadReport report = load_weights(model, file_of(mode));
    EXPECT_EQ(report.loaded.size(), model.params().entries().size());
    EXPECT_TRUE(report.ignored.empty() && report.renamed.empty() && report.reinitialised.empty());
    for (const nn::Entry& entry : model.params().entries())
      EXPECT_EQ(test::values_of(entry.value), test::values_of(source.params().find(entry.name)->value)) << entry.name;
  }
}

TEST_F(ModeFiles, OfTheOtherModeAreRefused) {
  Model online(small_model(Mode::online)), offline(small_model(Mode::offline));
  const std::string online_file = file_of(Mode::online), offline_file = file_of(Mode::offline);
  EXPECT_THAT(test::message_of<CheckpointError>([&] { load_weights(offline, online_file); }),
              HasSubstr("online.pth: holds an online model (VISAGE), but the configuration is of an offline one"));
  EXPECT_THAT(test::message_of<CheckpointError>([&] { load_weights(online, offline_file); }),
              AllOf(HasSubstr("has no appearance branch"), HasSubstr("model.detector.mode = \"offline\"")));
}

TEST_F(ModeFiles, OfTheOtherModeAreAStartOfTraining) {
  const nn::LoadOptions options = nn::image_checkpoint_options();
  Model online(small_model(Mode::online)), offline(small_model(Mode::offline));
  nn::fill_test_weights(online.params(), "other");
  const nn::LoadReport from_online = load_weights(offline, file_of(Mode::online), options);
  EXPECT_EQ(from_online.loaded.size(), offline.params().entries().size());
  EXPECT_EQ(from_online.ignored.size(), online.params().entries().size() - offline.params().entries().size());
  EXPECT_THAT(from_online.ignored, Each(StartsWith("'appearance_decoder.")));
  const nn::LoadReport from_offline = load_weights(online, file_of(Mode::offline), options);
  EXPECT_EQ(from_offline.loaded.size(), offline.params().entries().size());
  EXPECT_THAT(from_offline.reinitialised, Each(StartsWith("appearance_decoder.")));
  EXPECT_TRUE(from_offline.ignored.empty());
}

// Of a training run's state only the model counts.
TEST_F(ModeFiles, MayHoldTheStateOfATrainingRun) {
  Model model(small_model(Mode::offline));
  nn::fill_test_weights(model.params(), "file");
  std::vector<nn::NamedTensor> tensors = nn::file_tensors(model.params());
  const std::size_t count = tensors.size();
  tensors.push_back({"optimizer.step", Tensor::zeros({1})});
  tensors.push_back({"optimizer.exp_avg.backbone.stem.conv1.weight", Tensor::zeros({2, 2})});
  tensors.push_back({"ema.backbone.stem.conv1.weight", Tensor::zeros({2, 2})});
  const std::string path = folder_ / "state.safetensors";
  nn::write_safetensors(path, tensors);
  EXPECT_EQ(load_weights(model, path).loaded.size(), count);

  auto* const value = model.params().entries().front().value.data<float>();
  *value = std::numeric_limits<float>::infinity();
  nn::write_safetensors(path, nn::file_tensors(model.params()));
  EXPECT_THAT(test::message_of<CheckpointError>([&] { load_weights(model, path); }), HasSubstr("NaN or infinity"));
}

}  // namespace
}  // namespace visage
