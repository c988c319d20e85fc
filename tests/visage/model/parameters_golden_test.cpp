#include "tests/support/golden.h"
#include "visage/model/model.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

namespace visage {
namespace {

std::string file_shape(const nn::Entry& entry) {
  std::ostringstream text;
  const Dims size = entry.file_size();
  for (int i = 0; i < size.rank; ++i) text << (i ? "x" : "") << size[i];
  return text.str();
}

std::map<std::string, std::string> official_shapes() {
  std::ifstream list(test::golden_dir() + "/params_check.tsv");
  std::map<std::string, std::string> shapes;
  std::string line;
  std::getline(list, line);  // column names
  while (std::getline(list, line)) {
    const auto tab = line.find('\t');
    shapes[line.substr(0, tab)] = line.substr(tab + 1, line.find('\t', tab + 1) - tab - 1);
  }
  return shapes;
}

std::map<std::string, std::string> shapes_of(const ModelConfig& config) {
  const Model model(config);
  std::map<std::string, std::string> shapes;
  for (const nn::Entry& entry : model.params().entries()) {
    shapes[entry.name] = file_shape(entry);
    EXPECT_EQ(entry.value.dtype(), DType::f32) << entry.name;
  }
  return shapes;
}

TEST(ParametersGolden, NamesAndShapesAreTheOfficialOnes) {
  const std::map<std::string, std::string> official = official_shapes();
  ASSERT_FALSE(official.empty());
  EXPECT_EQ(shapes_of({}), official);
}

// The checkpoints of Mask2Former-VIS have what both networks share under the same names.
TEST(ParametersGolden, OfflineModelsAreWithoutTheAppearanceBranch) {
  std::map<std::string, std::string> official = official_shapes();
  EXPECT_GT(std::erase_if(official, [](const auto& one) { return one.first.starts_with("appearance_decoder."); }), 0u);
  ModelConfig config;
  config.detector.mode = Mode::offline;
  EXPECT_EQ(shapes_of(config), official);
}

TEST(ParametersGolden, TrainableOnesAreCounted) {
  const Model model(ModelConfig{});
  std::int64_t trainable = 0, tensors = 0;
  for (const nn::Entry& entry : model.params().entries()) {
    if (entry.kind != nn::Kind::parameter) continue;
    trainable += entry.value.numel();
    ++tensors;
  }
  EXPECT_EQ(tensors, 369);
  EXPECT_EQ(trainable, 45405609);
}

TEST(Parameters, SmallModelsAreTheSameCode) {
  for (const int depth : {18, 34, 50, 101}) {
    for (const int levels : {1, 2, 3}) {
      ModelConfig config;
      config.backbone = {.depth = depth, .width = 16};
      config.detector = {.num_classes = 3,
                         .num_queries = 10,
                         .hidden = 32,
                         .heads = 4,
                         .levels = levels,
                         .points = 2,
                         .encoder_layers = 1,
                         .encoder_ffn = 64,
                         .decoder_layers = 3,
                         .decoder_ffn = 64};
      EXPECT_NO_THROW(Model{config}) << depth << " " << levels;
    }
  }
}

TEST(Parameters, ImpossibleConfigurationsAreRefused) {
  const auto with = [](auto change) {
    ModelConfig config;
    change(config);
    return config;
  };
  EXPECT_THROW(Model(with([](ModelConfig& c) { c.backbone.depth = 26; })), UsageError);
  EXPECT_THROW(Model(with([](ModelConfig& c) { c.detector.hidden = 100; })), UsageError);
  EXPECT_THROW(Model(with([](ModelConfig& c) { c.detector.heads = 7; })), UsageError);
  EXPECT_THROW(Model(with([](ModelConfig& c) { c.detector.levels = 4; })), UsageError);
  EXPECT_THROW(Model(with([](ModelConfig& c) { c.detector.num_queries = 0; })), UsageError);
}

}  // namespace
}  // namespace visage
