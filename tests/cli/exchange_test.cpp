#include "tests/cli/clip.h"
#include "visage/annotation/video_tracks.h"
#include "visage/config/config.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
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

TEST(Exchange, ClassesThatAreNotChosenAreNotInTheFile) {
  const test::TemporaryFolder folder;
  const VideoTracks written = annotation::read_tracks(tracked() + "/tracks.jsonl");
  ASSERT_GT(written.categories.size(), 1u);
  const std::int64_t chosen_id = written.tracks.at(0).category_id;
  const auto chosen = std::find_if(written.categories.begin(), written.categories.end(),
                                   [&](const annotation::Category& category) { return category.id == chosen_id; });
  for (const std::string format : {"coco", "labelme", "cvat"}) {
    SCOPED_TRACE(format);
    const std::string exported = folder / format, imported = folder / (format + ".json");
    must({"export", tracked(), "--classes", chosen->name, "--format", format, "--output", exported});
    std::vector<std::string> arguments = {"import", exported, "--format", format, "--output", imported};
    if (format != "coco") arguments.insert(arguments.end(), {"--frames", clip().frames});
    must(arguments);
    const std::vector<annotation::Category> read = annotation::read_ytvis(imported).categories;
    ASSERT_EQ(read.size(), 1u);
    EXPECT_EQ(read[0].name, chosen->name);
    EXPECT_EQ(read[0].id, format == "coco" ? chosen_id : 1);
    const Ended recipe = run({"data", "config", imported, "--images", clip().frames});
    EXPECT_THAT(recipe.out, HasSubstr("num_classes = 1\n")) << recipe.err;
  }
}

// What somebody does in CVAT: the first track gets another class and, in frame 0, another outline.
void correct(const std::string& from, const std::string& to) {
  std::string text = test::read_text(from);
  const auto replace_next = [&](const std::string& key, const std::string& value, std::size_t after) {
    const auto start = text.find(key + "=\"", after) + key.size() + 2;
    text.replace(start, text.find('"', start) - start, value);
  };
  const auto track = text.find("<track ");
  ASSERT_NE(track, std::string::npos);
  replace_next("points", "10,20;40,20;40,50;10,50", track);
  replace_next("label", "wheel", track);
  test::write_text(to, text);
}

TEST(Exchange, CorrectedTracksTrainTheModelThatTracksAgain) {
  const test::TemporaryFolder folder;
  must({"export", tracked(), "--format", "cvat", "--output", folder / "tracks.xml"});
  ASSERT_NO_FATAL_FAILURE(correct(folder / "tracks.xml", folder / "corrected.xml"));
  const std::string data = folder / "corrected.json";
  must({"import", folder / "corrected.xml", "--format", "cvat", "--frames", clip().frames, "--output", data});
  const VideoTracks read = annotation::tracks_of(annotation::read_ytvis(data), 1);
  EXPECT_EQ(annotation::area(*read.tracks.at(0).frames.at(0)->mask), 30 * 30);

  // As README has it, but for the number of steps.
  const std::string zoo = test::data_path("../../zoo/synthetic_small/model.safetensors");
  const Ended recipe = run({"data", "config", data, "--images", clip().frames, "--weights", zoo});
  ASSERT_EQ(recipe.code, 0) << recipe.err;
  test::write_text(folder / "my.toml", recipe.out);
  const Ended trained = run({"train", "--config", folder / "my.toml", "--init", zoo, "--output", folder / "run",
                             "--device", "cpu", "--set", "train.steps=2"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  const std::vector<std::string> classes = config::load_config(folder / "run/config.toml").class_names;
  EXPECT_THAT(classes, testing::Contains("wheel"));

  const Ended again = run({"track", clip().frames, "--weights", folder / "run/model.safetensors", "--output",
                           folder / "again", "--min-score", "0", "--overlay", "none", "--device", "cpu"});
  ASSERT_EQ(again.code, 0) << again.err;
  const VideoTracks found = annotation::read_tracks(folder / "again/tracks.jsonl");
  EXPECT_EQ(found.video.length(), test::kClipFrames);
  EXPECT_GT(found.tracks.size(), 0u);
  for (const annotation::Category& category : found.categories)
    EXPECT_EQ(category.name, classes.at(static_cast<std::size_t>(category.id - 1)));
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
