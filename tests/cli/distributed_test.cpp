// Training by several processes, as users start them.
#include "nn/checkpoint/checkpoint.h"
#include "tests/cli/program.h"
#include "tests/cli/small_training.h"
#include "tests/support/files.h"
#include "tests/train/distributed/group.h"
#include "train/distributed/mpi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <thread>

namespace visage::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using Arguments = std::vector<std::string>;

// Where these runs differ from the small one: longer, with as many clips as processes, and steps that stay together.
const Arguments kLonger{"--set", "train.steps=20",           "--set", "train.clips=2",
                        "--set", "train.accumulate=1",       "--set", "train.learning_rate=1e-4",
                        "--set", "train.checkpoint_every=4", "--set", "train.eval_every=10",
                        "--set", "train.workers=1",          "--set", "train.eval.videos=3",
                        "--set", "train.eval.frames=3"};

const Start kOneThread{.environment = {{"OMP_NUM_THREADS", "1"}}};

class Distributed : public ::testing::Test {
 protected:
  Distributed() { write_text(folder_ / "config.toml", kSmallTraining); }

  Arguments arguments(const std::string& run, const Arguments& more = {}) const {
    Arguments all{"train", "--config", folder_ / "config.toml", "--output", folder_ / run, "--device", "cpu"};
    return with(with(all, kLonger), more);
  }
  static Arguments with(Arguments all, const Arguments& more) {
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  /// Process `rank` of a group of two that meets at `port`.
  static Arguments of_two(int port, int rank) {
    return {"--rank", std::to_string(rank), "--world-size", "2", "--rendezvous", "127.0.0.1:" + std::to_string(port)};
  }
  void train_alone(const std::string& run, const Arguments& more = {}) const {
    const Ended ended = test::run(arguments(run, more), kOneThread);
    ASSERT_EQ(ended.code, 0) << ended.err;
  }
  /// What process 0 said.
  std::string train_by_two(const std::string& run, const Arguments& more = {}) const {
    const int port = free_port();
    Program second(arguments(run, with(more, of_two(port, 1))), kOneThread);
    const Ended first = test::run(arguments(run, with(more, of_two(port, 0))), kOneThread), other = second.wait();
    EXPECT_EQ(first.code, 0) << first.err;
    EXPECT_EQ(other.code, 0) << other.err;
    EXPECT_THAT(other.err, AnyOf("", HasSubstr("waiting for process 0")));
    return first.err;
  }

  std::string text(const std::string& name) const { return read_text(folder_ / name); }
  bool exists(const std::string& name) const { return fs::exists(folder_.path() / name); }

  /// Steps of the newest checkpoint of a run; -1 without one.
  int newest_checkpoint(const std::string& run) const {
    int newest = -1;
    std::error_code none_yet;
    for (const auto& entry : fs::directory_iterator(folder_.path() / run / "checkpoints", none_yet))
      if (entry.path().extension() == ".safetensors")
        newest = std::max(newest, std::atoi(entry.path().filename().string().c_str() + std::string("step_").size()));
    return newest;
  }
  void wait_for_checkpoint(const std::string& run, int step) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (newest_checkpoint(run) < step && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }

  /// Difference of all weights of two runs, relative to their norm. (Not of each tensor: AdamW turns the rounding that
  /// is all the gradient of a bias before a norm into steps as large as any.)
  double apart(const std::string& a, const std::string& b) const {
    const nn::Checkpoint x = nn::read_checkpoint(folder_ / (a + "/model.safetensors"));
    const nn::Checkpoint y = nn::read_checkpoint(folder_ / (b + "/model.safetensors"));
    double difference = 0, size = 0;
    for (const nn::NamedTensor& tensor : x.tensors) {
      const Tensor* const twin = y.find(tensor.name);
      if (!twin || tensor.value.dtype() != DType::f32) continue;
      for (std::int64_t i = 0; i < tensor.value.numel(); ++i) {
        const double value = static_cast<double>(tensor.value.data<float>()[i]);
        difference += std::pow(value - static_cast<double>(twin->data<float>()[i]), 2);
        size += value * value;
      }
    }
    EXPECT_GT(size, 0);
    return std::sqrt(difference / size);
  }
  /// Losses of the steps of a run.
  std::vector<double> losses(const std::string& run) const {
    std::vector<double> all;
    std::istringstream lines(text(run + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);)
      if (const auto record = nlohmann::json::parse(line); record.contains("loss")) all.push_back(record["loss"]);
    return all;
  }
  void expect_same_training(const std::string& a, const std::string& b) const {
    EXPECT_LE(apart(a, b), 1e-6);
    const std::vector<double> x = losses(a), y = losses(b);
    ASSERT_GE(x.size(), 4u);
    ASSERT_EQ(y.size(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 1e-6 * x[i]) << "step " << i + 1;
  }
  /// Evaluations of a run: what they measured.
  std::vector<nlohmann::json> evaluations(const std::string& run) const {
    std::vector<nlohmann::json> all;
    std::istringstream lines(text(run + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);)
      if (const auto record = nlohmann::json::parse(line); record.contains("evaluation")) all.push_back(record);
    return all;
  }

  TemporaryFolder folder_;
};

TEST_F(Distributed, TwoProcessesTrainAsOneDoes) {
  ASSERT_NO_FATAL_FAILURE(train_alone("one"));
  train_by_two("two");
  expect_same_training("one", "two");
  // Same model, so the same scores, of which each process measured a part.
  train_by_two("again");
  EXPECT_TRUE(text("two/model.safetensors") == text("again/model.safetensors")) << "two runs of one seed differ";
  const auto one = evaluations("one"), two = evaluations("two");
  ASSERT_EQ(one.size(), two.size());
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i].at("evaluation"), two[i].at("evaluation"));
}

// Few steps: a rounding that flips a bit of a mask soon shows where every clip has another size.
TEST_F(Distributed, ClipsOfDifferentSizesArePaddedToTheLargestOfTheStep) {
  const Arguments more{"--set", "train.eval_every=0",       "--set", "train.steps=4",
                       "--set", "train.data.least_edge=48", "--set", "train.data.most_edge=80"};
  ASSERT_NO_FATAL_FAILURE(train_alone("one", more));
  train_by_two("two", more);
  expect_same_training("one", "two");
}

TEST_F(Distributed, OfflineModelsTrainAsOneDoes) {
  const Arguments more{"--mode", "offline", "--set", "train.eval_every=0", "--set", "train.steps=6"};
  ASSERT_NO_FATAL_FAILURE(train_alone("one", more));
  train_by_two("two", more);
  expect_same_training("one", "two");
}

TEST_F(Distributed, AccumulatedBatchesTrainAsALargerOne) {
  ASSERT_NO_FATAL_FAILURE(train_alone("large", {"--set", "train.eval_every=0"}));
  ASSERT_NO_FATAL_FAILURE(
      train_alone("parts", {"--set", "train.eval_every=0", "--set", "train.clips=1", "--set", "train.accumulate=2"}));
  expect_same_training("large", "parts");
}

TEST_F(Distributed, AKilledProcessStopsTheOthersAndTheRunResumesToTheSameBytes) {
  // A run that does not end before it is killed; the steps are free to change when it is resumed.
  const Arguments more{"--set", "train.eval_every=0"}, endless = with(more, {"--set", "train.steps=100000"});
  const int port = free_port();
  Program first(arguments("killed", with(endless, of_two(port, 0))), kOneThread);
  Program second(arguments("killed", with(endless, of_two(port, 1))), kOneThread);
  wait_for_checkpoint("killed", 8);
  second.signal(SIGKILL);
  EXPECT_EQ(second.wait().code, 128 + SIGKILL);
  const auto killed = std::chrono::steady_clock::now();
  const Ended left = first.wait();
  EXPECT_LE(std::chrono::steady_clock::now() - killed, std::chrono::seconds(30));
  EXPECT_EQ(left.code, 1);
  EXPECT_THAT(left.err, HasSubstr("process 1 is gone"));
  EXPECT_FALSE(exists("killed/model.safetensors"));
  const int done = newest_checkpoint("killed");
  ASSERT_GE(done, 8);
  const Arguments rest{"--set", "train.steps=" + std::to_string(done + 6)};
  EXPECT_THAT(train_by_two("killed", with(more, with(rest, {"--resume"}))), HasSubstr("resuming after step"));
  train_by_two("whole", with(more, rest));
  EXPECT_TRUE(text("killed/model.safetensors") == text("whole/model.safetensors"));
}

TEST_F(Distributed, AnotherNumberOfProcessesResumesWithAWarning) {
  train_by_two("run", {"--set", "train.eval_every=0", "--set", "train.steps=4"});
  const Ended alone =
      test::run(arguments("run", {"--set", "train.eval_every=0", "--set", "train.steps=6", "--resume"}), kOneThread);
  EXPECT_EQ(alone.code, 0) << alone.err;
  EXPECT_THAT(alone.err, HasSubstr("warning: the run had 2 processes and has 1 from here on"));
}

TEST_F(Distributed, AnInterruptOfOneProcessEndsAllAfterTheSameStep) {
  const int port = free_port();
  const Arguments more{"--set", "train.eval_every=0", "--set", "train.steps=100000"};
  Program first(arguments("run", with(more, of_two(port, 0))), kOneThread);
  Program second(arguments("run", with(more, of_two(port, 1))), kOneThread);
  wait_for_checkpoint("run", 4);
  second.signal(SIGINT);
  const Ended here = first.wait(), there = second.wait();
  EXPECT_EQ(here.code, there.code);
  EXPECT_THAT(here.err, HasSubstr("interrupted after step"));
}

TEST_F(Distributed, RefusesGroupsThatCannotBe) {
  EXPECT_EQ(test::run(arguments("run", {"--rank", "0"})).code, 2);
  EXPECT_EQ(test::run(arguments("run", {"--rank", "2", "--world-size", "2", "--rendezvous", "127.0.0.1:1"})).code, 2);
  EXPECT_EQ(test::run(arguments("run", {"--rank", "0", "--world-size", "2", "--rendezvous", "nowhere"})).code, 2);
  // Clips that cannot be shared.
  const int port = free_port();
  const Arguments three{"--set", "train.clips=3"};
  Program second(arguments("run", with(three, of_two(port, 1))), kOneThread);
  const Ended first = test::run(arguments("run", with(three, of_two(port, 0))), kOneThread);
  EXPECT_EQ(first.code, 2);
  EXPECT_THAT(first.err, HasSubstr("3 clips a batch cannot be shared equally by 2 processes"));
  EXPECT_EQ(second.wait().code, 2);
  EXPECT_FALSE(exists("run/checkpoints"));
}

/// As root, on as many processes as asked for, without ssh. MPI itself leaks.
Start mpirun(int processes) {
  return {.environment = {{"OMP_NUM_THREADS", "1"},
                          {"ASAN_OPTIONS", "detect_leaks=0"},
                          {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                          {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                          {"OMPI_MCA_plm", "isolated"},
                          {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
                          {"OMPI_MCA_rmaps_base_oversubscribe", "1"}},
          .launcher = {"mpirun", "-n", std::to_string(processes)}};
}

/// Whether mpirun starts anything here: containers may lack what it needs.
bool mpirun_works() {
  Start start = mpirun(2);
  start.launcher.push_back("true");  // takes the program and its arguments for its own
  return test::run({"--version"}, start).code == 0;
}

TEST_F(Distributed, MpirunStartsAGroup) {
  if (!train::has_mpi() || !mpirun_works()) GTEST_SKIP() << "no MPI in this build, or no mpirun that works here";
  const Ended ended = test::run(arguments("mpi"), mpirun(2));
  ASSERT_EQ(ended.code, 0) << ended.err;
  train_by_two("tcp");
  EXPECT_TRUE(text("mpi/model.safetensors") == text("tcp/model.safetensors"));
}

TEST_F(Distributed, WithoutMpiSaysWhatToInstall) {
  if (train::has_mpi()) GTEST_SKIP() << "this build has MPI";
  Start start = kOneThread;
  start.environment.insert(start.environment.end(), {{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}});
  const Ended ended = test::run(arguments("run"), start);
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("install libopenmpi-dev"));
}

}  // namespace
}  // namespace visage::test
