#include "tests/cli/program.h"
#include "tests/cli/small_training.h"
#include "tests/support/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <thread>

namespace visage::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class TrainTest : public ::testing::Test {
 protected:
  TrainTest() { write_text(folder_ / "config.toml", kSmallTraining); }

  std::vector<std::string> arguments(const std::string& run, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{"train", "--config", folder_ / "config.toml", "--output", folder_ / run};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Ended train(const std::string& run, const std::vector<std::string>& more = {}) const {
    return test::run(arguments(run, more));
  }
  std::string text(const std::string& name) const { return read_text(folder_ / name); }
  std::vector<std::string> checkpoints(const std::string& run) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path() / run / "checkpoints"))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  // The steps of metrics.jsonl, an evaluation with a minus.
  std::vector<int> recorded(const std::string& run) const {
    std::vector<int> steps;
    std::istringstream lines(text(run + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const auto record = nlohmann::json::parse(line);
      steps.push_back(record["step"].get<int>() * (record.contains("evaluation") ? -1 : 1));
    }
    return steps;
  }
  void expect_same_run(const std::string& a, const std::string& b) const {
    for (const char* file : {"/model.safetensors", "/best.safetensors", "/checkpoints/step_000000012.safetensors"})
      EXPECT_TRUE(text(a + file) == text(b + file)) << file;
    EXPECT_EQ(recorded(a), recorded(b));
  }

  TemporaryFolder folder_;
};

TEST_F(TrainTest, KilledRunsEndWithTheBytesOfOneThatNeverStopped) {
  ASSERT_EQ(train("whole").code, 0);
  ASSERT_EQ(train("again").code, 0);
  expect_same_run("whole", "again");

  // Kills after a new checkpoint, in the middle of the one after it, or at once.
  const auto files_of_kind = [&](const char* ending) {
    std::error_code none_yet;
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path() / "killed/checkpoints", none_yet))
      if (entry.path().extension() == ending) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  };
  const auto newest = [&] {
    const auto names = files_of_kind(".safetensors");
    return names.empty() ? std::string() : names.back();
  };
  enum class When : std::uint8_t { at_a_checkpoint, while_saving, at_once };
  const auto kill = [&](const std::vector<std::string>& options, When when) {
    const std::string before = newest();
    const Program program(arguments("killed", options));
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (when != When::at_once && std::chrono::steady_clock::now() < end) {
      const std::string now = newest();
      if (now == "step_000000012.safetensors") break;
      if (now > before && (when == When::at_a_checkpoint || !files_of_kind(".visage-partial").empty())) break;
    }
    program.signal(SIGKILL);
  };
  Ended ended;
  int resumed = 0;
  for (int attempt = 0; attempt < 60; ++attempt) {
    const bool started = fs::exists(folder_.path() / "killed/checkpoints/step_000000000.safetensors") ||
                         fs::exists(folder_.path() / "killed/metrics.jsonl");
    const bool resumable =
        started && !checkpoints("killed").empty() && checkpoints("killed").front().ends_with(".safetensors");
    const std::vector<std::string> options =
        resumable ? std::vector<std::string>{"--resume"} : std::vector<std::string>{};
    if (attempt < 6) {
      resumed += resumable;
      kill(options, static_cast<When>(attempt % 3));
      continue;
    }
    ended = train("killed", options);
    if (ended.code == 0) break;
  }
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_GE(resumed, 2);
  expect_same_run("whole", "killed");
  EXPECT_EQ(recorded("killed"), (std::vector<int>{1, 2, 3, 4, 5, -5, 6, 7, 8, 9, 10, -10, 11, 12, -12}));
}

// In a file or a pipe this is all there is to see for train.log_every steps.
TEST_F(TrainTest, SaysFirstWhatItTrains) {
  const Ended ended = train("run", {"--set", "train.steps=2", "--set", "train.eval_every=0"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const std::string plan = "training 2 steps of 2 x 1 clip of 2 frames in " + (folder_ / "run");
  EXPECT_THAT(ended.err, HasSubstr(plan));
  EXPECT_LT(ended.err.find(plan), ended.err.find("step 2/2"));
}

TEST_F(TrainTest, TwoProcessesDoNotTrainInOneFolder) {
  Program first(arguments("run", {"--set", "train.steps=1000000", "--set", "train.eval_every=0"}));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!fs::exists(folder_.path() / "run/metrics.jsonl") && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  for (const std::vector<std::string>& options : {std::vector<std::string>{"--resume"}, {}}) {
    const Ended second = train("run", options);
    EXPECT_EQ(second.code, 2);
    EXPECT_THAT(second.err, HasSubstr("another process trains in this folder"));
  }
  first.signal(SIGKILL);
  EXPECT_EQ(first.wait().code, 128 + SIGKILL);
  EXPECT_EQ(train("run", {"--resume", "--set", "train.steps=1", "--set", "train.eval_every=0"}).code, 0)
      << "the lock ends with the process";
}

TEST_F(TrainTest, ADamagedCheckpointGivesWayToTheOneBefore) {
  ASSERT_EQ(train("whole").code, 0);
  ASSERT_EQ(checkpoints("whole"),
            (std::vector<std::string>{"step_000000010.safetensors", "step_000000012.safetensors"}));
  fs::copy(folder_.path() / "whole", folder_.path() / "cut", fs::copy_options::recursive);
  const fs::path newest = folder_.path() / "cut/checkpoints/step_000000012.safetensors";
  fs::resize_file(newest, fs::file_size(newest) / 2);
  const Ended ended = train("cut", {"--resume"});
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.err, HasSubstr("warning: "));
  EXPECT_THAT(ended.err, HasSubstr("resuming after step 10"));
  EXPECT_TRUE(fs::exists(newest.string() + ".damaged"));
  expect_same_run("whole", "cut");
}

TEST_F(TrainTest, ResumesWithOtherKeysOnlyWhereThatMakesSense) {
  ASSERT_EQ(train("run", {"--set", "train.steps=4"}).code, 0);
  const Ended longer = test::run({"train", "--output", folder_ / "run", "--resume", "--set", "train.steps=6"});
  EXPECT_EQ(longer.code, 0) << longer.err;
  EXPECT_THAT(longer.err, Not(HasSubstr("warning")));
  EXPECT_EQ(recorded("run"), (std::vector<int>{1, 2, 3, 4, -4, 5, -5, 6, -6}));

  const Ended faster = train("run", {"--resume", "--set", "train.steps=8", "--set", "train.learning_rate=2e-3"});
  EXPECT_EQ(faster.code, 0);
  EXPECT_THAT(faster.err, HasSubstr("train.learning_rate was 0.001 and is 0.002"));

  const Ended other = train("run", {"--resume", "--set", "model.detector.hidden=64"});
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.err, HasSubstr("model.detector.hidden is 64"));
  EXPECT_EQ(train("run").code, 2) << "a run is not overwritten";
}

TEST_F(TrainTest, StopsOnWhatIsNoNumberAndKeepsTheGoodState) {
  const std::vector<std::string> explode{"--set", "train.learning_rate=1",    "--set", "train.clip_norm=1e6",
                                         "--set", "train.backbone_factor=10", "--set", "train.warmup_steps=0",
                                         "--set", "train.steps=100",          "--set", "train.checkpoint_every=1000",
                                         "--set", "train.eval_every=0"};
  const Ended ended = train("run", explode);
  ASSERT_EQ(ended.code, 1) << ended.err;
  const int good = recorded("run").back();
  const std::string dump = "run/nonfinite_step_" + std::to_string(good + 1) + ".json";
  EXPECT_THAT(ended.err, HasSubstr("step " + std::to_string(good + 1)));
  EXPECT_THAT(ended.err, HasSubstr(dump));
  const auto record = nlohmann::json::parse(text(dump));
  EXPECT_EQ(record["step"], good + 1);
  EXPECT_EQ(record["learning_rate"], 1);
  ASSERT_FALSE(record["clips"].empty());
  EXPECT_THAT(record["clips"][0].get<std::string>(), HasSubstr("frames"));
  // The run goes on from the last good step, which a lower rate gets over.
  const Ended resumed =
      test::run({"train", "--output", folder_ / "run", "--resume", "--set", "train.steps=" + std::to_string(good)});
  EXPECT_EQ(resumed.code, 0) << resumed.err;
}

TEST_F(TrainTest, RefusesBadInputBeforeItWritesAnything) {
  const auto refused = [&](const std::vector<std::string>& options, int code, const std::string& text) {
    const Ended ended = train("run", options);
    EXPECT_EQ(ended.code, code) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(text));
    EXPECT_FALSE(fs::exists(folder_.path() / "run"));
  };
  refused({"--set", "train.eval.seed=1"}, 2, "train.eval.seed");
  refused({"--set", "train.eval.path=" + folder_ / "none"}, 1, "none");
  refused(
      {"--set", "train.data.kind=ytvis", "--set", "train.data.path=" + folder_ / "none", "--set", "train.eval_every=0"},
      1, "none");
  refused({"--init", folder_ / "none.pth"}, 1, "none.pth");
  refused({"--resume"}, 2, "holds no checkpoint");
}

TEST_F(TrainTest, RecomputingNeedsLessMemoryAndGivesTheSameBytes) {
  const std::vector<std::string> large{"--set", "train.steps=1",
                                       "--set", "train.eval_every=0",
                                       "--set", "train.accumulate=1",
                                       "--set", "train.clips=3",
                                       "--set", "train.data.width=256",
                                       "--set", "train.data.height=256",
                                       "--set", "train.data.least_edge=256",
                                       "--set", "train.data.most_edge=256",
                                       "--set", "model.backbone.width=16",
                                       "--set", "model.detector.encoder_layers=6",
                                       "--set", "model.detector.encoder_ffn=512"};
  auto recomputed = large;
  recomputed.insert(recomputed.end(), {"--set", "train.recompute=all"});
  const Ended kept = train("kept", large), twice = train("twice", recomputed);
  ASSERT_EQ(kept.code, 0) << kept.err;
  ASSERT_EQ(twice.code, 0) << twice.err;
  const std::string state = "/checkpoints/step_000000001.safetensors";
  // The configuration in the head of the file differs; the tensors behind it do not.
  const auto tensors = [&](const std::string& run) {
    const std::string file = text(run + state);
    std::uint64_t head = 0;
    std::memcpy(&head, file.data(), sizeof head);
    return file.substr(sizeof head + head);
  };
  EXPECT_TRUE(tensors("kept") == tensors("twice"));

  // The bytes of the tensors alone: what is resident holds whatever the allocator keeps, under ASan hundreds of MB.
  const auto peak = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"profile", "train", "--config", folder_ / "config.toml", "--steps", "1",
                                         "--warmup", "0", "--device", "cpu", "--json", folder_ / "memory.json"});
    const Ended ended = test::run(arguments);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return nlohmann::json::parse(text("memory.json")).at("memory").at("peak_bytes").get<double>();
  };
  EXPECT_LT(peak(recomputed), 0.6 * peak(large));
}

TEST_F(TrainTest, EvaluatesOnAFolderAndReports) {
  ASSERT_EQ(test::run({"pseudo", "--output", folder_ / "data", "--videos", "2", "--frames", "4", "--size", "96x64",
                       "--seed", "9", "--clips", "none"})
                .code,
            0);
  const Ended ended = train("run", {"--set", "train.eval.path=" + folder_ / "data/swap"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("evaluation after step 5, data: AP "));
  const std::string report = text("run/report.html");
  EXPECT_THAT(report, HasSubstr("<svg"));
  EXPECT_THAT(report, Not(HasSubstr("http")));
  EXPECT_THAT(report, HasSubstr("train.ema_decay"));
  EXPECT_EQ(test::run({"eval", "--data", folder_ / "data/swap", "--weights", folder_ / "run/best.safetensors",
                       "--config", folder_ / "run/config.toml"})
                .code,
            0);
}

// An offline model is trained and evaluated by the same commands, begins with weights of the other kind, and is not
// taken for one.
TEST_F(TrainTest, TrainsOfflineModelsFromOnlineOnes) {
  ASSERT_EQ(train("online", {"--set", "train.steps=1", "--set", "train.eval_every=0"}).code, 0);
  const Ended ended = train("run", {"--mode", "offline", "--init", folder_ / "online/model.safetensors", "--set",
                                    "inference.chunk=3", "--set", "inference.overlap=1"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("ignored (24): 'appearance_decoder."));
  EXPECT_THAT(ended.err, HasSubstr("evaluation after step 5, "));
  EXPECT_THAT(text("run/config.toml"), HasSubstr("mode = \"offline\""));
  EXPECT_THAT(text("run/metrics.jsonl"), Not(HasSubstr("reid")));
  ASSERT_EQ(train("whole", {"--mode", "offline"}).code, 0);
  ASSERT_EQ(train("parts", {"--mode", "offline", "--set", "train.steps=6"}).code, 0);
  ASSERT_EQ(train("parts", {"--mode", "offline", "--resume", "--set", "train.steps=12"}).code, 0);
  EXPECT_TRUE(text("whole/model.safetensors") == text("parts/model.safetensors")) << "a resumed run has other bytes";

  ASSERT_EQ(
      test::run({"pseudo", "--output", folder_ / "data", "--frames", "4", "--size", "96x64", "--clips", "none"}).code,
      0);
  const auto track = [&](const std::string& config, const std::string& weights, const std::string& output) {
    return test::run({"track", folder_ / "data/swap/JPEGImages/video_0000", "--overlay", "none", "--config",
                      folder_ / config, "--weights", folder_ / weights, "--output", folder_ / output});
  };
  EXPECT_EQ(track("run/config.toml", "run/model.safetensors", "tracks").code, 0);
  // The weights carry the configuration, too.
  EXPECT_EQ(test::run({"track", folder_ / "data/swap/JPEGImages/video_0000", "--overlay", "none", "--weights",
                       folder_ / "run/model.safetensors", "--output", folder_ / "same"})
                .code,
            0);
  EXPECT_EQ(text("same/results.json"), text("tracks/results.json"));
  // A checkpoint of the run has the state of the optimizer and the averages, too.
  EXPECT_EQ(track("run/config.toml", "run/checkpoints/step_000000012.safetensors", "early").code, 0);
  EXPECT_THAT(track("online/config.toml", "run/model.safetensors", "no").err,
              HasSubstr("set model.detector.mode = \"offline\""));
  EXPECT_THAT(track("run/config.toml", "online/model.safetensors", "no").err,
              HasSubstr("set model.detector.mode = \"online\""));
}

}  // namespace
}  // namespace visage::test
