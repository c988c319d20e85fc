#include "tests/cli/clip.h"
#include "tests/support/golden.h"
#include "visage/media/png.h"

#include <gmock/gmock.h>

#include <filesystem>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;
using test::clip;
using test::Ended;
using test::names_in;
using test::read_text;
using test::track_arguments;
using test::write_text;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// One line that says who speaks, names what is wrong, and leaves no result.
void expect_no_result(const Ended& ended, int code, const std::string& named, const std::string& output) {
  test::expect_refusal(ended, code, "track", named);
  EXPECT_THAT(names_in(output), AnyOf(ElementsAre("(no folder)"), ElementsAre("tracks.jsonl.visage-partial")));
}

class BadInput : public testing::Test {
 protected:
  void refuses(const std::string& input, int code, const std::string& named, const std::vector<std::string>& more = {},
               const test::Start& start = {}) {
    fs::remove_all(out_);
    expect_no_result(test::run(track_arguments(input, out_, more), start), code, named, out_);
  }
  std::string file(const std::string& name, const std::string& content) {
    write_text(folder_ / name, content);
    return folder_ / name;
  }

  test::TemporaryFolder folder_;
  std::string out_ = folder_ / "out";
};

TEST_F(BadInput, MissingOrEmptyPlaces) {
  refuses("/nowhere/clip.mp4", 1, "/nowhere/clip.mp4");
  refuses("/nowhere/*.png", 1, "/nowhere/*.png");
  fs::create_directory(folder_ / "empty");
  refuses(folder_ / "empty", 1, folder_ / "empty");
}

TEST_F(BadInput, FilesThatAreNoPictures) {
  const std::string text = file("text.png", "this is no picture");
  refuses(text, 1, text);
  const std::string huge = file("huge.ppm", "P6 20000 20000 255\n");
  refuses(huge, 1, huge);
  const std::string noise = file("noise.mp4", std::string(5000, 'n'));
  refuses(noise, 1, noise);
  const std::string nothing = file("nothing.mp4", "");
  refuses(nothing, 1, nothing);
}

TEST_F(BadInput, VideosThatAreCutShort) {
  if (clip().video.empty()) GTEST_SKIP() << "this build reads no mp4";
  const std::string whole = read_text(clip().video);
  const std::string half = file("half.mp4", whole.substr(0, whole.size() / 2));
  refuses(half, 1, half);
  const std::string cut = file("cut.mp4", whole.substr(0, whole.size() * 9 / 10));
  refuses(cut, 1, "or accept the frames that are there with --truncated accept");
  EXPECT_EQ(test::run(track_arguments(cut, out_, {"--overwrite", "--truncated", "accept"})).code, 0);
}

TEST_F(BadInput, Devices) {
  for (const std::string path : {"/dev/null", "/dev/zero"}) refuses(path, 1, path + ": it is a device");
}

TEST_F(BadInput, FramesOfAnotherSize) {
  fs::create_directory(folder_ / "frames");
  media::write_png(folder_ / "frames/1.png", media::Image(96, 64));
  media::write_png(folder_ / "frames/2.png", media::Image(64, 96));
  refuses(folder_ / "frames", 1, "2.png");
}

TEST_F(BadInput, RawStreams) {
  const std::string raw = file("clip.rgb", std::string(96 * 64 * 3 + 5, 'x'));
  refuses("-", 1, "or accept the frames that are there with --truncated accept", {"--size", "96x64"},
          {.stdin_file = raw});
  refuses("-", 1, "stdin", {"--size", "96x64"});
  refuses("-", 1, "raw RGB frames need their size, with --size", {}, {.stdin_file = raw});
  refuses("-", 1, "raw RGB frames need their size, with --size");
  refuses("-", 2, "--size", {"--size", "96by64"});
}

TEST_F(BadInput, WeightsThatDoNotFit) {
  refuses(clip().frames, 1, clip().weights, {"--set", "model.detector.num_queries=11"});
  refuses(clip().frames, 1, "query_feat.weight", {"--set", "model.detector.num_queries=11"});
  refuses(clip().frames, 1, "/nowhere.pth", {"--weights", "/nowhere.pth"});
  refuses(clip().frames, 2, "--weights", {"--weights", clip().weights, "--test-weights", "public"});
}

TEST_F(BadInput, DamagedWeights) {
  for (const std::string& path : {clip().weights, clip().weights_pth}) {
    const std::string whole = read_text(path), name = "cut_" + fs::path(path).filename().string();
    const std::string cut = file(name, whole.substr(0, whole.size() - 1000));
    refuses(clip().frames, 1, cut, {"--weights", cut});
  }
  const std::string noise = file("noise.pth", std::string(5000, 'n'));
  refuses(clip().frames, 1, noise, {"--weights", noise});
}

TEST_F(BadInput, GoldenHostileWeights) {
  int files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(test::golden_dir() + "/ckpt")) {
    if (!entry.path().filename().string().starts_with("bad_")) continue;
    refuses(clip().frames, 1, entry.path().filename().string(), {"--weights", entry.path().string()});
    ++files;
  }
  EXPECT_GT(files, 0);
}

TEST_F(BadInput, Configuration) {
  const std::string config = file("typo.toml", "[tracking]\nalhpa = 0.5\n");
  refuses(clip().frames, 2, config + ":2", {"--config", config});
  refuses(clip().frames, 2, "tracking.alpha", {"--set", "tracking.alhpa=0.5"});
  refuses(clip().frames, 2, "tracking.tracker must be \"visage\" or \"minvis\"", {"--tracker", "sort"});
  refuses(clip().frames, 2, "tracking.ctvis.nms_iou must be a number from 0.0 to 1.0; got 2",
          {"--set", "tracking.ctvis.nms_iou=2"});
  refuses(clip().frames, 2, "alpha", {"--alpha", "2"});
  refuses(clip().frames, 2, "gpu9", {"--device", "gpu9"});
  refuses(clip().frames, 2, "device cpu", {"--device", "cuda"});
  refuses(clip().frames, 2, "threads", {"--threads", "-1"});
  refuses(clip().frames, 2, "threads", {"--threads", "100000"});
  for (const char* fps : {"0", "-3", "0.0000001", "1001", "nan", "inf"})
    refuses(clip().frames, 2, "--fps", {"--fps", fps});
  refuses(clip().frames, 2, "did you mean fast", {"--plan", "fats"});
  refuses(clip().frames, 2, "did you mean --window", {"--windw", "3"});
  refuses(clip().frames, 2, "bf16", {"--plan", "plain", "--precision", "bf16"});
}

TEST_F(BadInput, UnwritableOutput) {
  out_ = file("file", "in the way") + "/out";
  const Ended ended = test::run(track_arguments(clip().frames, out_));
  expect_no_result(ended, 1, out_, out_);
}

TEST_F(BadInput, FullDisk) {
  // Messages are written to files, too, so some bytes must be left. The limits let the run get further each time: the
  // masks, the first picture, the embeddings, the results.
  for (const long long bytes : {600, 2000, 4000, 30000}) {
    refuses(clip().frames, 1, "space", {"--overlay", "gif", "--id-maps", "--dump-embeddings"}, {.largest_file = bytes});
  }
  refuses(clip().frames, 1, "/nowhere", {}, {.temporary_folder = "/nowhere"});
}

TEST(CommandLine, ExplainsWrongUse) {
  const Ended nothing = test::run({});
  EXPECT_EQ(nothing.code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("track "));
  const Ended command = test::run({"trakc"});
  EXPECT_EQ(command.code, 2);
  EXPECT_EQ(command.err, "visage: unknown command \"trakc\"; did you mean track; visage --help lists all\n");
  const Ended missing = test::run({"track"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_THAT(missing.err, HasSubstr("INPUT"));
  EXPECT_EQ(test::run({"convert", "/nowhere.pth", "/tmp/x.safetensors"}).code, 1);
  EXPECT_EQ(test::run({"convert", "/nowhere.pth", "/tmp/x.bin"}).code, 2);
  EXPECT_EQ(test::run({"inspect", "/nowhere.pth"}).code, 1);
}

TEST(CommandLine, HelpsAndListsWeights) {
  for (const std::string command : {"track", "demo", "pseudo", "inspect", "convert"}) {
    const Ended help = test::run({command, "--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_THAT(help.out, HasSubstr("Usage: visage " + command));
    EXPECT_THAT(help.err, IsEmpty());
  }
  EXPECT_THAT(test::run({"--version"}).out, StartsWith("visage "));
  EXPECT_THAT(test::run({"inspect", clip().weights}).out, HasSubstr("backbone.stem.conv1.weight"));
}

}  // namespace
}  // namespace visage::cli
