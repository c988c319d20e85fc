// The recorded checkpoint files: good ones bit by bit, damaged and hostile ones refused.
#include "nn/checkpoint/parse.h"
#include "nn/init/test_weights.h"
#include "tests/nn/checkpoint/checkpoint_test_support.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <set>

namespace visage::nn {
namespace {

using test::contiguous_bytes;
using test::message_of;
using testing::HasSubstr;

std::string fixture(const std::string& name) { return test::golden_dir() + "/ckpt/" + name; }

/// Where the hostile fixtures would leave their mark if they were run.
std::filesystem::path marker() { return std::filesystem::temp_directory_path() / "pwned_visage"; }

struct Good {
  const char* file;
  const char* group;  // prefix in expected.safetensors
  const char* format;
};
constexpr Good kGood[] = {
    {"small_zip.pth", "small/", "torch zip"},           {"small_legacy.pth", "small/", "torch legacy"},
    {"rezipped_zip.pth", "small/", "torch zip"},        {"trainer_zip.pth", "trainer/", "torch zip"},
    {"trainer_legacy.pth", "trainer/", "torch legacy"}, {"bare_state_dict_zip.pth", "trainer/", "torch zip"},
    {"numpy_p2.pkl", "numpy/", "numpy pickle"},         {"numpy_p4.pkl", "numpy/", "numpy pickle"},
};

TEST(CheckpointFixturesGolden, GoodFilesAreReadBitByBit) {
  const Checkpoint expected = read_checkpoint(fixture("expected.safetensors"));
  for (const Good& good : kGood) {
    SCOPED_TRACE(good.file);
    const Checkpoint read = read_checkpoint(fixture(good.file));
    EXPECT_EQ(read.format, good.format);
    std::size_t count = 0;
    for (const NamedTensor& want : expected.tensors) {
      if (!want.name.starts_with(good.group)) continue;
      ++count;
      const Tensor* got = read.find(want.name.substr(std::strlen(good.group)));
      ASSERT_TRUE(got) << want.name;
      EXPECT_EQ(got->size(), want.value.size()) << want.name;
      EXPECT_EQ(got->dtype(), want.value.dtype()) << want.name;
      EXPECT_EQ(contiguous_bytes(*got), contiguous_bytes(want.value)) << want.name;
    }
    EXPECT_GT(count, 0u);
    EXPECT_EQ(read.tensors.size(), count);
  }
}

TEST(CheckpointFixturesGolden, NeighboursOfTheModelBecomeMetadata) {
  EXPECT_EQ(read_checkpoint(fixture("small_zip.pth")).metadata.at("iteration"), "7");
  EXPECT_EQ(read_checkpoint(fixture("trainer_legacy.pth")).metadata.at("iteration"), "41");
  EXPECT_EQ(read_checkpoint(fixture("numpy_p4.pkl")).metadata.at("matching_heuristics"), "true");
}

TEST(CheckpointFixturesGolden, SharedStoragesStayShared) {
  for (const char* file : {"small_zip.pth", "small_legacy.pth"}) {
    const Checkpoint read = read_checkpoint(fixture(file));
    EXPECT_EQ(read.find("shared_base")->storage(), read.find("shared_slice")->storage()) << file;
    EXPECT_EQ(read.find("expanded")->stride()[0], 0) << file;
  }
}

TEST(CheckpointFixturesGolden, BadFilesAreRefusedAndRunNothing) {
  std::filesystem::remove(marker());
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::golden_dir() + "/ckpt")) {
    const std::string path = entry.path();
    if (!entry.path().filename().string().starts_with("bad_")) continue;
    ++count;
    const std::string message = message_of<CheckpointError>([&] { read_checkpoint(path); });
    EXPECT_THAT(message, HasSubstr(path + ": "));
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  EXPECT_GT(count, 0);
  EXPECT_FALSE(std::filesystem::exists(marker()));
}

TEST(CheckpointFixturesGolden, BadFilesAreRefusedForTheirReason) {
  const std::pair<const char*, const char*> reasons[] = {
      {"bad_os_system_zip.pth", "system'"},
      {"bad_os_system_legacy.pth", "system'"},
      {"bad_os_system.pkl", "system'"},
      {"bad_eval.pkl", "'__builtin__.eval'"},
      {"bad_truncated_zip.pth", "truncated"},
      {"bad_truncated_legacy.pth", "truncated"},
      {"bad_truncated.pkl", "truncated"},
      {"bad_out_of_bounds_zip.pth", "reaches outside its storage"},
      {"bad_missing_storage_zip.pth", "is missing or of another size"},
      {"bad_corrupt_zip.pth", "data/0' is corrupt"},
      {"bad_garbage_pickle_zip.pth", "pickle at byte"},
  };
  for (const auto& [file, reason] : reasons) {
    if (!std::filesystem::exists(fixture(file))) continue;
    EXPECT_THAT(message_of<CheckpointError>([&] { read_checkpoint(fixture(file)); }), HasSubstr(reason)) << file;
  }
}

/// Parses and touches every element; anything but a CheckpointError escapes and fails the test.
bool survives(const std::string& path, const std::string& content) {
  try {
    const Checkpoint read = parse_checkpoint(file_bytes(path, content));
    for (const NamedTensor& one : read.tensors)
      if (one.value.numel() < (1 << 20)) contiguous_bytes(one.value);
    return true;
  } catch (const CheckpointError&) {
    return false;
  }
}

TEST(CheckpointFixturesGolden, MutatedBytesNeverCrash) {
  constexpr int kMutations = 600;  // of each file
  for (const auto& entry : std::filesystem::directory_iterator(test::golden_dir() + "/ckpt")) {
    const std::string path = entry.path(), whole = test::read_bytes(path);
    const HashStream stream(entry.path().filename().string());
    std::int64_t draw = 0;
    const auto below = [&](std::size_t limit) {
      return static_cast<std::size_t>(stream.uniform(draw++) * static_cast<float>(limit)) % limit;
    };
    for (int i = 0; i < kMutations; ++i) {
      std::string content = whole;
      for (std::size_t changes = 1 + below(3); changes-- > 0;)
        content[below(content.size())] = static_cast<char>(below(256));
      if (i % 8 == 0) content.resize(below(content.size()));
      if (i % 8 == 1) content.insert(below(content.size()), std::string(1 + below(9), '\xff'));
      survives(path, content);
    }
  }
  EXPECT_FALSE(std::filesystem::exists(marker()));
}

TEST(CheckpointFixturesGolden, EveryTruncationIsRefused) {
  for (const Good& good : kGood) {
    const std::string whole = test::read_bytes(fixture(good.file));
    ASSERT_TRUE(survives(good.file, whole));
    for (std::size_t length = 0; length < whole.size(); length += 7)
      EXPECT_FALSE(survives(good.file, whole.substr(0, length))) << good.file << " cut at " << length;
  }
}

}  // namespace
}  // namespace visage::nn
