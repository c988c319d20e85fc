// The trained models that come with the repository, on videos that they were not trained on.
#include "tests/cli/program.h"
#include "tests/support/files.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace visage::test {
namespace {

class Zoo : public ::testing::Test {
 protected:
  void make(const char* mode, const char* videos) const {
    ASSERT_EQ(run({"pseudo", "--output", folder_ / "data", "--mode", mode, "--videos", videos, "--frames", "16",
                   "--size", "480x288", "--seed", "77", "--clips", "none", "-q"})
                  .code,
              0);
  }
  /// AP of a model of the zoo, 0 to 1.
  double ap(const std::string& model, const std::string& mode, const std::vector<std::string>& more = {}) const {
    const std::string zoo = data_path("../../zoo/" + model), report = folder_ / "report.json";
    std::vector<std::string> all{"eval",
                                 "--data",
                                 folder_ / ("data/" + mode),
                                 "--config",
                                 zoo + "/config.toml",
                                 "--weights",
                                 zoo + "/model.safetensors",
                                 "--device",
                                 "cpu",
                                 "--json",
                                 report};
    all.insert(all.end(), more.begin(), more.end());
    const Ended ended = run(all);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return ended.code == 0 ? nlohmann::json::parse(read_text(report)).at("AP").get<double>() : 0;
  }

  TemporaryFolder folder_;
};

TEST_F(Zoo, TheOfflineModelKeepsUpWithItsOnlineSibling) {
  ASSERT_NO_FATAL_FAILURE(make("track", "3"));
  const double online = ap("synthetic_small", "track"), offline = ap("synthetic_small_offline", "track");
  EXPECT_GE(online, 0.6);
  EXPECT_GE(offline, online - 0.05);
}

TEST_F(Zoo, AppearanceFindsTheObjectsAfterASwap) {
  ASSERT_NO_FATAL_FAILURE(make("swap", "3"));
  EXPECT_GE(ap("synthetic_small", "swap"), 0.1 + ap("synthetic_small", "swap", {"--set", "tracking.alpha=0"}));
}

}  // namespace
}  // namespace visage::test
