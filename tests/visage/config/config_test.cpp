#include "visage/config/config.h"

#include "tensor/error.h"
#include "tests/support/golden.h"
#include "tests/support/source_tree.h"
#include "visage/config/pipeline_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace visage::config {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string contents(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

/// A configuration file that lives as long as the test.
class ConfigFile : public testing::Test {
 protected:
  std::string write(const std::string& text) {
    path_ = testing::TempDir() + "visage_config_test_" + testing::UnitTest::GetInstance()->current_test_info()->name() +
            ".toml";
    std::ofstream(path_, std::ios::binary) << text;
    return path_;
  }
  Config load(const std::string& text, const std::vector<std::string>& overrides = {}) {
    return load_config(write(text), overrides);
  }
  /// What the error says after the file name; empty when there is none.
  std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
    try {
      (void)load(text, overrides);
    } catch (const UsageError& error) {
      const std::string message = error.what();
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      return message.starts_with(path_) ? message.substr(path_.size()) : message;
    }
    return "";
  }
  void TearDown() override { std::filesystem::remove(path_); }

 private:
  std::string path_;
};

std::string override_error(const std::string& assignment) {
  Config config;
  try {
    apply_override(config, assignment);
  } catch (const UsageError& error) {
    EXPECT_EQ(to_toml(config), to_toml(Config{})) << "a refused override changed something";
    return error.what();
  }
  return "";
}

using ConfigRead = ConfigFile;

TEST_F(ConfigRead, SetsEveryKindOfKey) {
  const Config config = load(R"(
class_names = ["cat", 'big "dog"']
model.backbone.depth = 101
[model.detector]
num_classes = 2
hidden = 64
[tracking]
alpha = 0
weighting = "release"
[inference]
scores = "online"
min_score = 0.125
)");
  EXPECT_EQ(config.class_names, (std::vector<std::string>{"cat", "big \"dog\""}));
  EXPECT_EQ(config.model.backbone.depth, 101);
  EXPECT_EQ(config.model.detector.num_classes, 2);
  EXPECT_EQ(config.model.detector.hidden, 64);
  EXPECT_EQ(config.tracking.alpha, 0.0);
  EXPECT_EQ(config.tracking.weighting, MemoryWeighting::release);
  EXPECT_EQ(config.inference.scores, pipeline::ScoreMode::online);
  EXPECT_EQ(config.inference.min_score, 0.125);
  // What is not mentioned keeps its default.
  EXPECT_EQ(config.tracking.window, 5);
  EXPECT_EQ(config.model.detector.num_queries, 100);
  EXPECT_EQ(to_toml(load("")), to_toml(Config{}));
  EXPECT_EQ(to_toml(load_config("")), to_toml(Config{}));
}

TEST_F(ConfigRead, KnowsBothModes) {
  EXPECT_EQ(load("").model.detector.mode, Mode::online);
  EXPECT_EQ(load("model.detector.mode = \"online\"").model.detector.mode, Mode::online);
  const Config config = load("model.detector.mode = \"offline\"");
  EXPECT_EQ(config.model.detector.mode, Mode::offline);
  EXPECT_EQ(load(to_toml(config)).model.detector.mode, Mode::offline);
  EXPECT_THAT(error_of("model.detector.mode = \"clips\""), HasSubstr("must be \"online\" or \"offline\""));
}

TEST_F(ConfigRead, NamesTheNearestKey) {
  EXPECT_EQ(error_of("[tracking]\n  alfa = 0.5\n"),
            ":2:3: unknown key \"tracking.alfa\"; the nearest valid name is \"tracking.alpha\"");
  EXPECT_THAT(error_of("alpha = 0.5"), AllOf(HasSubstr(":1:1: "), HasSubstr("is \"tracking.alpha\"")));
  EXPECT_THAT(error_of("[inference]\nalpha = 0.5"), HasSubstr("is \"tracking.alpha\""));
  EXPECT_THAT(error_of("[trackin]\nalpha = 0.5"), HasSubstr("is \"tracking\""));
  EXPECT_THAT(error_of("[model.detector]\nnum_clases = 3"), HasSubstr("is \"model.detector.num_classes\""));
  EXPECT_THAT(error_of("class_name = []"), HasSubstr("is \"class_names\""));
  EXPECT_THAT(error_of("\"a\\nb\" = 1"), HasSubstr("unknown key"));
}

TEST_F(ConfigRead, RefusesWrongTypesAndImpossibleValues) {
  EXPECT_EQ(error_of("\n[tracking]\nalpha = 1.5"), ":3:1: tracking.alpha must be a number from 0.0 to 1.0; got 1.5");
  EXPECT_THAT(error_of("tracking.alpha = nan"), HasSubstr("must be a number"));
  EXPECT_THAT(error_of("tracking.alpha = \"half\""), HasSubstr("got \"half\""));
  EXPECT_THAT(error_of("tracking.window = 0"), HasSubstr("must be an integer from 1 to 1000; got 0"));
  EXPECT_THAT(error_of("tracking.window = 2.0"), HasSubstr("got 2.0"));
  EXPECT_THAT(error_of("tracking.window = 9223372036854775807"), HasSubstr("must be an integer"));
  EXPECT_THAT(error_of("tracking.weighting = \"papers\""),
              HasSubstr("must be \"paper\" or \"release\"; got \"papers\""));
  EXPECT_THAT(error_of("tracking.weighting = true"), HasSubstr("got true"));
  EXPECT_THAT(error_of("model.backbone.depth = 49"), HasSubstr("must be one of 18, 34, 50, 101; got 49"));
  EXPECT_THAT(error_of("class_names = [\"a\", 1]"), HasSubstr("class_names must be a list"));
  EXPECT_THAT(error_of("class_names = [\"a\", \"a\"]"), HasSubstr("must be a list of different"));
  EXPECT_THAT(error_of("class_names = [\"\"]"), HasSubstr("non-empty"));
  EXPECT_THAT(error_of("tracking = 5"), HasSubstr("tracking is a section"));
  EXPECT_THAT(error_of("[tracking.alpha]\nx = 1"),
              HasSubstr("tracking.alpha must be a number from 0.0 to 1.0; got a table"));
  EXPECT_THAT(error_of("tracking.alpha = 2026-01-01"), HasSubstr("got a date or time"));
  EXPECT_THAT(error_of("[[tracking]]\nalpha = 1"), HasSubstr("tracking is a section"));
}

TEST_F(ConfigRead, RefusesValuesThatDoNotFitTogether) {
  EXPECT_EQ(error_of("[model.detector]\nhidden = 100"),
            ":2:1: model.detector.hidden must be a multiple of 32 and of heads (8); got 100");
  EXPECT_THAT(error_of("[model.detector]\nheads = 7"), HasSubstr("model.detector.hidden must be a multiple"));
  EXPECT_THAT(error_of("class_names = [\"cat\"]"), HasSubstr("model.detector.num_classes (40); got 1"));
  EXPECT_THAT(error_of("inference.longest_edge = 100"), HasSubstr("at least inference.shortest_edge (480)"));
  EXPECT_THAT(error_of("inference.top_k = 4001"), HasSubstr("at most"));
  EXPECT_EQ(error_of("inference.chunk = 5\ninference.overlap = 3"), "");
  EXPECT_EQ(pipeline_options(load("inference.chunk = 5\ninference.overlap = 3"), pipeline::Plan::fast, Precision::f32)
                .overlap,
            2);
  EXPECT_THAT(error_of("tracking.tracker = \"minvis\"\nmodel.detector.mode = \"offline\""),
              HasSubstr("tracking.tracker is of no use to an offline model"));
  Config config;
  config.class_names = {"cat"};
  EXPECT_THROW(check_config(config), UsageError);
  EXPECT_NO_THROW(check_config(Config{}));
}

TEST_F(ConfigRead, RefusesBrokenFiles) {
  EXPECT_THAT(error_of("tracking.alpha = \n"), HasSubstr(":1:"));
  EXPECT_THAT(error_of("[tracking\n"), HasSubstr(":1:"));
  EXPECT_THAT(error_of("tracking.alpha = 0.1\ntracking.alpha = 0.2\n"), HasSubstr(":2:"));
  EXPECT_NE(error_of("a = \"\xff\xfe\""), "");
  EXPECT_NE(error_of(std::string("a\0b", 3)), "");
  EXPECT_NE(error_of("a = " + std::string(100000, '[')), "");
  EXPECT_THROW((void)load_config("/nowhere/config.toml"), UsageError);
  EXPECT_THROW((void)load_config(testing::TempDir()), UsageError);
}

TEST(ConfigOverride, SetsOneKey) {
  Config config;
  apply_override(config, "tracking.alpha=0.5");
  apply_override(config, " tracking.weighting = release ");
  apply_override(config, "inference.scores=\"online\"");
  apply_override(config, "model.detector.num_classes=2");
  apply_override(config, "class_names=[\"cat\", \"dog\"]");
  EXPECT_EQ(config.tracking.alpha, 0.5);
  EXPECT_EQ(config.tracking.weighting, MemoryWeighting::release);
  EXPECT_EQ(config.inference.scores, pipeline::ScoreMode::online);
  EXPECT_EQ(config.model.detector.num_classes, 2);
  EXPECT_EQ(config.class_names, (std::vector<std::string>{"cat", "dog"}));
}

TEST(ConfigOverride, RefusesWhatAFileWould) {
  EXPECT_EQ(
      override_error("tracking.alfa=1"),
      "override \"tracking.alfa=1\": unknown key \"tracking.alfa\"; the nearest valid name is \"tracking.alpha\"");
  EXPECT_THAT(override_error("tracking.alpha=2"), HasSubstr("must be a number from 0.0 to 1.0; got 2"));
  EXPECT_THAT(override_error("tracking.alpha="), HasSubstr("got \"\""));
  EXPECT_THAT(override_error("tracking.alpha"), HasSubstr("key=value"));
  EXPECT_THAT(override_error("tracking=1"), HasSubstr("is a section"));
  EXPECT_THAT(override_error("=1"), HasSubstr("unknown key"));
  EXPECT_THAT(override_error(""), HasSubstr("key=value"));
  EXPECT_THAT(override_error("tracking.window=1\nx=2"), HasSubstr("must be an integer"));
}

TEST_F(ConfigRead, OverridesAreCheckedTogetherWithTheFile) {
  const std::string text = "class_names = [\"cat\"]\nmodel.detector.num_classes = 1\n";
  const Config config = load(text, {"class_names=[\"a\", \"b\"]", "model.detector.num_classes=2"});
  EXPECT_EQ(config.class_names.size(), 2u);
  EXPECT_THAT(error_of(text, {"model.detector.num_classes=2"}), HasSubstr("class_names must have one name"));
}

TEST_F(ConfigRead, ReadsBackWhatItWrites) {
  Config config;
  config.class_names = {"plain", "with \"quotes\"", "back\\slash", "tab\tnew\nline", "\x7f", "größe"};
  config.model.detector.num_classes = 6;
  config.tracking = {.alpha = 0.1, .window = 7, .weighting = MemoryWeighting::release};
  config.inference.scores = pipeline::ScoreMode::online;
  config.inference.min_score = 1e-7;
  const Config again = load(to_toml(config));
  EXPECT_EQ(again.class_names, config.class_names);
  EXPECT_EQ(again.tracking.alpha, 0.1);
  EXPECT_EQ(again.inference.min_score, 1e-7);
  EXPECT_EQ(to_toml(again), to_toml(config));
}

TEST_F(ConfigRead, DescriptionIsTheDefaultConfiguration) {
  EXPECT_EQ(to_toml(load(describe())), to_toml(Config{}));
  EXPECT_THAT(describe(),
              AllOf(HasSubstr("# Weight of appearance"), HasSubstr("alpha = 0.75  # a number from 0.0 to 1.0\n")));
}

TEST(ConfigFiles, AreAllValid) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::source_dir() + "/configs")) {
    SCOPED_TRACE(entry.path());
    ASSERT_EQ(entry.path().extension(), ".toml");
    const Config config = load_config(entry.path());
    EXPECT_EQ(static_cast<int>(config.class_names.size()), config.model.detector.num_classes);
    ++files;
  }
  EXPECT_GE(files, 4);
}

TEST(ConfigFiles, DocumentationListsEveryKey) {
  const std::string page = contents(test::source_dir() + "/docs/configuration.md");
  const std::string block = "```toml\n" + describe() + "```\n";
  if (page.find(block) != std::string::npos) return;
  const std::string path = testing::TempDir() + "configuration_keys.md";
  std::ofstream(path) << block;
  FAIL() << "the list of keys in docs/configuration.md is not what the code says; replace it by " << path;
}

TEST(ConfigFilesGolden, ClassesAreTheOfficialOnes) {
  const auto lists = nlohmann::json::parse(contents(test::golden_eval_dir() + "/categories.json"));
  for (const auto& [file, list] : {std::pair{"visage_r50_ytvis19", "ytvis_2019"},
                                   {"visage_r50_ytvis21", "ytvis_2021"},
                                   {"visage_r50_ovis", "ovis"}}) {
    const Config config = load_config(test::source_dir() + "/configs/" + file + ".toml");
    ASSERT_EQ(config.class_names.size(), lists.at(list).size()) << file;
    for (const auto& category : lists.at(list))
      EXPECT_EQ(config.class_names[category.at("index").get<std::size_t>()], category.at("name")) << file;
  }
}

}  // namespace
}  // namespace visage::config
