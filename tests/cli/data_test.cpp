#include "nn/checkpoint/checkpoint.h"
#include "tests/cli/clip.h"
#include "visage/config/config.h"

#include <gmock/gmock.h>

namespace visage::cli {
namespace {

using test::run;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST(DataCheck, PrintsASummaryAndSucceeds) {
  const test::TemporaryFolder folder;
  ASSERT_EQ(run({"pseudo", "-o", folder / "set", "--split", "train", "--videos", "2", "--frames", "3", "--size",
                 "64x48", "--clips", "none", "-q"})
                .code,
            0);
  const test::Ended ended = run({"data", "check", folder / "set/train", "--frames", "all"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  EXPECT_THAT(ended.out,
              AllOf(HasSubstr("2, 6 frames"), HasSubstr("64x48 (2)"), HasSubstr("circle"),
                    HasSubstr("4 of 8 classes have no instance, first star"), HasSubstr("0 errors, 1 warning")));
}

TEST(DataCheck, ListsEveryErrorAndFails) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "gt.json",
                   R"({"videos": [{"id": 4, "width": 0, "height": 8, "length": 1, "file_names": ["a.jpg"]},
                                  {"id": 5, "width": 8, "height": 8, "length": 2, "file_names": ["b.jpg"]}],
                       "categories": [{"id": 1, "name": "cat"}], "annotations": []})");
  const test::Ended ended = run({"data", "check", folder / "gt.json", "--frames", "none"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.out, AllOf(HasSubstr("videos[0] (id 4): \"width\""), HasSubstr("videos[1] (id 5): \"file_names\""),
                               HasSubstr("2 errors")));
  EXPECT_THAT(ended.err, AllOf(StartsWith("visage data check: "), HasSubstr("gt.json: videos[0] (id 4)"),
                               HasSubstr("1 more problem")));
}

// What `visage data config` prints for the set of the test clip.
Config config_for_clip(const std::vector<std::string>& more = {}) {
  std::vector<std::string> all{"data", "config", test::clip().folder / "pseudo/swap"};
  all.insert(all.end(), more.begin(), more.end());
  const test::Ended ended = run(all);
  EXPECT_EQ(ended.code, 0) << ended.err;
  return config::parse_config(ended.out, "my.toml");
}

TEST(DataConfig, IsTheOfficialStepOneClipAtATime) {
  const Config config = config_for_clip();
  EXPECT_EQ(config.train.clips, 1);
  EXPECT_EQ(config.train.accumulate, TrainConfig{}.clips);
  EXPECT_EQ(config.train.recompute, Recompute::all);
  EXPECT_EQ(config.train.steps, TrainConfig{}.steps);
  EXPECT_EQ(config.train.data.kind, DataKind::ytvis);
  EXPECT_EQ(config.train.data.path, test::clip().folder / "pseudo/swap");
  EXPECT_EQ(config.class_names.size(), 8u);
}

TEST(DataConfig, TrainsOnAsTheWeightsWereTrained) {
  Config trained;
  trained.class_names = {"cat"};
  trained.model.detector.num_classes = 1;
  trained.model.detector.hidden = 64;
  trained.inference.shortest_edge = 224;
  trained.train.clips = 3;
  trained.train.accumulate = 2;
  trained.train.learning_rate = 5e-4;
  trained.train.data.most_edge = 352;
  // Of their data, their machine and the last part of their training.
  trained.train.data.joint.path = "elsewhere";
  trained.train.data.width = 64;
  trained.train.eval_every = 5;
  trained.train.precision = Precision::bf16;
  trained.train.freeze = {"backbone."};
  const test::TemporaryFolder folder;
  const std::string weights = folder / "model.safetensors";
  const std::vector<nn::NamedTensor> tensors{{"x", Tensor::ones({1})}};
  nn::write_safetensors(weights, tensors, {{"config", config::to_toml(trained)}});

  Config expected = trained;
  expected.class_names = config_for_clip().class_names;
  expected.model.detector.num_classes = 8;
  expected.train = {};
  expected.train.clips = 1;
  expected.train.accumulate = 6;
  expected.train.recompute = Recompute::all;
  expected.train.learning_rate = 5e-4;
  expected.train.data.most_edge = 352;
  expected.train.data.kind = DataKind::ytvis;
  expected.train.data.path = test::clip().folder / "pseudo/swap";
  EXPECT_EQ(config::to_toml(config_for_clip({"--weights", weights})), config::to_toml(expected));
}

TEST(DataConfig, WeightsWithoutAConfigurationAreRefused) {
  const std::string set = test::clip().folder / "pseudo/swap";
  for (const std::string& file : {test::clip().weights, test::clip().weights_pth})
    test::expect_refusal(run({"data", "config", set, "--weights", file}), 1, "data config", "carries no configuration");
  test::expect_refusal(run({"data", "config", set, "--weights", "/nowhere"}), 1, "data config",
                       "cannot open /nowhere: No such file");
}

TEST(DataCheck, WrongUseIsExplained) {
  EXPECT_THAT(run({"data", "chek", "x"}).err, HasSubstr("did you mean data check"));
  EXPECT_THAT(run({"data", "check", "x", "--frame", "all"}).err, HasSubstr("did you mean --frames"));
  EXPECT_THAT(run({"data", "check", "x", "--frames", "al"}).err, HasSubstr("did you mean all"));
  EXPECT_EQ(run({"data"}).code, 2);
  EXPECT_EQ(run({"data", "check", "/nowhere"}).code, 1);
}

}  // namespace
}  // namespace visage::cli
