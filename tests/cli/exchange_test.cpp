#include "tests/cli/clip.h"
#include "visage/annotation/video_tracks.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <map>
#include <set>
#include <sstream>

namespace visage::cli {
namespace {

using annotation::VideoTracks;
using test::clip;
using test::Ended;
using test::expect_refusal;
using test::run;
using testing::HasSubstr;

// What visage track wrote about the clip, once.
const std::string& tracked() {
  static const test::TemporaryFolder folder;
  static const std::string out = [] {
    const Ended ended = run(test::track_arguments(clip().frames, folder / "out"));
    EXPECT_EQ(ended.code, 0) << ended.err;
    return folder / "out";
  }();
  return out;
}

void must(const std::vector<std::string>& arguments) {
  const Ended ended = run(arguments);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr(" tracks, 8 frames, "));
}

// Every track's id and masks, without those in no frame.
using Masks = std::map<std::int64_t, std::vector<std::optional<annotation::Rle>>>;
Masks masks_of(const VideoTracks& tracks) {
  Masks masks;
  for (const annotation::ObjectTrack& track : tracks.tracks)
    for (const auto& sighting : track.frames) masks[track.id].push_back(sighting ? sighting->mask : std::nullopt);
  return masks;
}

TEST(Exchange, TracksGoThroughEveryFormatAndBack) {
  const test::TemporaryFolder folder;
  const VideoTracks written = annotation::read_tracks(tracked() + "/tracks.jsonl");
  ASSERT_GT(written.tracks.size(), 2u);
  for (const std::string format : {"coco", "labelme", "cvat", "mot"}) {
    SCOPED_TRACE(format);
    const std::string exported = folder / format, imported = folder / (format + ".json");
    must({"export", tracked(), "--format", format, "--output", exported});
    std::vector<std::string> arguments = {"import", exported, "--format", format, "--output", imported};
    if (format != "coco") arguments.insert(arguments.end(), {"--frames", clip().frames});
    must(arguments);
    const VideoTracks read = annotation::tracks_of(annotation::read_ytvis(imported), 1);
    EXPECT_EQ(read.video.file_names, written.video.file_names);
    if (format == "mot") continue;
    EXPECT_EQ(masks_of(read), masks_of(written));
    const Ended checked = run({"data", "check", imported, "--images", clip().frames, "--frames", "all"});
    EXPECT_EQ(checked.code, 0) << checked.out << checked.err;
  }
}

TEST(Exchange, ResultsAndAnnotationsAreExported) {
  const test::TemporaryFolder folder;
  must({"export", tracked() + "/tracks.jsonl", "--format", "coco", "--output", folder / "a"});
  must({"import", folder / "a", "--format", "coco", "--output", folder / "set.json"});
  must({"export", folder / "set.json", "--format", "coco", "--output", folder / "b"});
  test::write_text(folder / "results.json",
                   R"([{"video_id": 1, "score": 0.5, "category_id": 0, "segmentations": []}])");
  expect_refusal(run({"export", folder / "results.json", "--format", "mot", "--output", folder / "c"}), 2, "export",
                 "with --annotations");
  expect_refusal(run({"export", folder / "results.json", "--annotations", folder / "set.json", "--format", "mot",
                      "--output", folder / "c"}),
                 1, "export", "no category with id 0");
}

TEST(Exchange, WrongUseIsExplained) {
  const test::TemporaryFolder folder;
  const auto refused = [&](const std::vector<std::string>& more, const std::string& named) {
    std::vector<std::string> arguments = {"export", tracked(), "--output", folder / "x"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_refusal(run(arguments), 2, "export", named);
  };
  refused({"--format", "cvt"}, "did you mean cvat");
  refused({}, "--format");
  refused({"--format", "mot", "--min-score", "2"}, "--min-score must be 0 to 1");
  refused({"--format", "cvat", "--simplify", "-1"}, "--simplify must be 0 or more");
  refused({"--format", "mot", "--classes", "no such class"}, "--classes: there is no class \"no such class\"");
  expect_refusal(run({"import", tracked(), "--format", "labelme", "--output", folder / "y"}), 1, "import", "imagePath");
  expect_refusal(run({"export", tracked(), "--format", "coco", "--output", tracked() + "/run.json"}), 1, "export",
                 "is there already");
}

TEST(TrackClasses, AreTheOnlyOnesWritten) {
  const test::TemporaryFolder folder;
  const auto labels = [](const std::string& out) {
    std::map<std::string, int> counts;
    std::istringstream lines(test::read_text(out + "/tracks.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const auto frame = nlohmann::json::parse(line);
      for (const auto& object : frame.at("objects")) ++counts[object.at("label").get<std::string>()];
    }
    return counts;
  };
  const std::map<std::string, int> all = labels(tracked());
  ASSERT_GT(all.size(), 1u);
  const auto& [name, count] = *all.begin();
  const Ended ended = run(test::track_arguments(clip().frames, folder / "one", {"--classes", name}));
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(labels(folder / "one"), (std::map<std::string, int>{{name, count}}));
  std::set<int> categories;
  for (const auto& row : nlohmann::json::parse(test::read_text(folder / "one/results.json")))
    categories.insert(row.at("category_id").get<int>());
  EXPECT_LE(categories.size(), 1u);
  expect_refusal(run(test::track_arguments(clip().frames, folder / "two", {"--classes", name + "x"})), 2, "track",
                 "did you mean " + name);
}

}  // namespace
}  // namespace visage::cli
