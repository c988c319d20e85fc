#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/load.h"
#include "nn/init/test_weights.h"
#include "tests/support/files.h"
#include "tests/support/source_tree.h"
#include "visage/annotation/rle.h"
#include "visage/config/pipeline_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <visage.h>

namespace visage {
namespace {

using testing::HasSubstr;

constexpr int kWidth = 80, kHeight = 64, kFrames = 5;
const std::string& config_file() {
  static const std::string file = test::source_dir() + "/configs/tiny.toml";
  return file;
}

const std::string& settings() {
  static const std::string text = "config=" + config_file() + "; device=cpu; inference.min_score=0.05";
  return text;
}

void fill(Model& model) { nn::fill_test_weights(model.params(), "c interface"); }

const std::string& weights_file() {
  static const test::TemporaryFolder folder;
  static const std::string file = [] {
    Model model(config::load_config(config_file()).model);
    fill(model);
    nn::write_safetensors(folder / "weights.safetensors", nn::file_tensors(model.params()));
    return folder / "weights.safetensors";
  }();
  return file;
}

media::Image image(int t, int width = kWidth) {
  media::Image frame(width, kHeight);
  for (int y = 0; y < frame.height; ++y)
    for (int x = 0; x < frame.width; ++x)
      frame.pixel(x, y)[t % 3] = std::abs(x - 20 - 4 * t) < 12 && std::abs(y - 32) < 12 ? 255 : 40;
  return frame;
}

using Tracker = std::unique_ptr<visage_tracker, decltype(&visage_destroy)>;

Tracker create(const std::string& more = "") {
  visage_tracker* tracker = nullptr;
  EXPECT_EQ(visage_create(weights_file().c_str(), (settings() + more).c_str(), &tracker), VISAGE_OK)
      << visage_last_error();
  return {tracker, &visage_destroy};
}

visage_status feed(const Tracker& tracker, const media::Image& frame) {
  return visage_feed(tracker.get(), frame.rgb.data(), frame.width, frame.height, 3 * frame.width);
}

// Everything the interface tells about an object.
struct Told {
  std::int64_t frame;
  int track, label;
  std::string class_name;
  double score;
  annotation::Box box;
  std::int64_t area;
  std::vector<std::uint64_t> mask;
  bool operator==(const Told&) const = default;
};

void take(const Tracker& tracker, std::vector<Told>& told) {
  visage_frame frame{.struct_size = sizeof frame};
  while (visage_next(tracker.get(), &frame) == VISAGE_OK) {
    EXPECT_EQ(frame.width, kWidth);
    EXPECT_EQ(frame.height, kHeight);
    for (int i = 0; i < frame.objects; ++i) {
      visage_object object{.struct_size = sizeof object};
      EXPECT_EQ(visage_object_at(tracker.get(), i, &object), VISAGE_OK) << visage_last_error();
      std::vector<std::uint8_t> mask(std::size_t{kWidth} * kHeight);
      EXPECT_EQ(visage_mask_at(tracker.get(), i, mask.data(), kWidth, 1, 1), VISAGE_OK) << visage_last_error();
      told.push_back({frame.index, object.track, object.label, object.class_name, object.score,
                      annotation::Box{double(object.x), double(object.y), double(object.width), double(object.height)},
                      object.area, annotation::pack_columns(mask.data(), kHeight, kWidth)});
    }
  }
}

std::vector<Told> track_clip(const Tracker& tracker) {
  std::vector<Told> told;
  for (int t = 0; t < kFrames; ++t) {
    EXPECT_EQ(feed(tracker, image(t)), VISAGE_OK) << visage_last_error();
    take(tracker, told);
  }
  EXPECT_EQ(visage_flush(tracker.get()), VISAGE_OK) << visage_last_error();
  take(tracker, told);
  return told;
}

std::vector<Told> track_with_pipeline() {
  const std::string override = "inference.min_score=0.05";
  const Config config = config::load_config(config_file(), {&override, 1});
  Model model(config.model);
  fill(model);
  pipeline::VideoPipeline tracks(model, config::pipeline_options(config, pipeline::Plan::fast, Precision::f32));
  std::vector<Told> told;
  for (int t = 0; t < kFrames; ++t)
    for (const auto& [frame, result] : tracks.feed({.image = image(t)}))
      for (const pipeline::TrackedObject& object : result.objects) {
        const annotation::Rle mask = annotation::encode_columns(object.mask.data(), kHeight, kWidth);
        told.push_back({result.index, object.track, object.label,
                        config.class_names[static_cast<std::size_t>(object.label)], object.score,
                        annotation::bounding_box(mask), annotation::area(mask), annotation::decode_columns(mask)});
      }
  return told;
}

TEST(CTracker, TellsWhatThePipelineFinds) {
  const std::vector<Told> expected = track_with_pipeline();
  ASSERT_GT(expected.size(), kFrames);
  EXPECT_TRUE(track_clip(create()) == expected);
}

TEST(CTracker, TellsTheSameAsJson) {
  const Tracker tracker = create(), other = create();
  visage_frame frame{.struct_size = sizeof frame};
  visage_object object{.struct_size = sizeof object};
  const char* json = nullptr;
  EXPECT_EQ(visage_next_json(other.get(), &json), VISAGE_NO_FRAME);
  EXPECT_EQ(json, nullptr);
  ASSERT_EQ(feed(tracker, image(0)), VISAGE_OK);
  ASSERT_EQ(feed(other, image(0)), VISAGE_OK);
  ASSERT_EQ(visage_next(tracker.get(), &frame), VISAGE_OK);
  ASSERT_EQ(visage_next_json(other.get(), &json), VISAGE_OK) << visage_last_error();
  const nlohmann::json told = nlohmann::json::parse(json);
  EXPECT_EQ(told.at("frame"), 0);
  EXPECT_EQ(told.at("name"), "frame_000000");
  EXPECT_EQ(told.at("size"), (nlohmann::json{kHeight, kWidth}));
  ASSERT_EQ(std::ssize(told.at("objects")), frame.objects);
  ASSERT_GT(frame.objects, 0);
  for (int i = 0; i < frame.objects; ++i) {
    ASSERT_EQ(visage_object_at(other.get(), i, &object), VISAGE_OK);  // works with the frame, however it was taken
    const nlohmann::json& line = told.at("objects").at(static_cast<std::size_t>(i));
    EXPECT_EQ(line.at("track"), object.track);
    EXPECT_EQ(line.at("label"), object.class_name);
    EXPECT_EQ(line.at("score"), object.score);
    EXPECT_EQ(line.at("box"), (nlohmann::json{object.x, object.y, object.width, object.height}));
    const annotation::Rle mask =
        annotation::rle_from_string(kHeight, kWidth, line.at("segmentation").at("counts").get<std::string>());
    EXPECT_EQ(annotation::area(mask), object.area);
  }
}

TEST(CTracker, WindowsDelayFramesAndAResetStartsOver) {
  const Tracker tracker = create("; inference.window=2");
  const std::vector<Told> first = track_clip(tracker);
  EXPECT_TRUE(first == track_clip(create()));

  EXPECT_EQ(feed(tracker, image(0)), VISAGE_ERROR_USAGE);
  EXPECT_THAT(visage_last_error(), HasSubstr("visage_reset"));
  ASSERT_EQ(visage_reset(tracker.get()), VISAGE_OK);
  // Another size, and a frame that is never taken.
  EXPECT_EQ(feed(tracker, image(0, 48)), VISAGE_OK);
  visage_frame frame{.struct_size = sizeof frame};
  EXPECT_EQ(visage_next(tracker.get(), &frame), VISAGE_NO_FRAME);
  ASSERT_EQ(visage_reset(tracker.get()), VISAGE_OK);
  EXPECT_TRUE(track_clip(tracker) == first);
}

TEST(CTracker, ReadsPaddedRowsAndWritesMasksIntoPictures) {
  const Tracker plain = create(), padded = create();
  const media::Image frame = image(0);
  constexpr int kStride = 3 * kWidth + 7;
  std::vector<std::uint8_t> rows(std::size_t{kStride} * kHeight, 99);
  for (int y = 0; y < kHeight; ++y) std::copy_n(frame.row(y), 3 * kWidth, rows.begin() + kStride * y);
  ASSERT_EQ(visage_feed(padded.get(), rows.data(), kWidth, kHeight, kStride), VISAGE_OK);
  ASSERT_EQ(feed(plain, frame), VISAGE_OK);
  visage_frame done{.struct_size = sizeof done};
  ASSERT_EQ(visage_next(plain.get(), &done), VISAGE_OK);
  ASSERT_EQ(visage_next(padded.get(), &done), VISAGE_OK);
  ASSERT_GT(done.objects, 0);

  std::vector<std::uint8_t> plane(kWidth * kHeight), rgba(4 * kWidth * kHeight, 7);
  ASSERT_EQ(visage_mask_at(plain.get(), 0, plane.data(), kWidth, 1, 1), VISAGE_OK);
  ASSERT_EQ(visage_mask_at(padded.get(), 0, rgba.data() + 3, 4 * kWidth, 4, 200), VISAGE_OK);
  for (std::size_t i = 0; i < rgba.size(); ++i) ASSERT_EQ(rgba[i], i % 4 == 3 && plane[i / 4] ? 200 : 7) << i;
}

TEST(CTracker, TheLastOfEqualSettingsCounts) {
  const Tracker tracker = create(";; precision = f32;\n inference.min_score = 0.9 ; inference.min_score=0.05;");
  EXPECT_TRUE(track_clip(tracker) == track_clip(create()));
  EXPECT_TRUE(track_clip(create("; inference.min_score=1")).empty());
}

void expect_refused(const char* weights, const std::string& more, visage_status status, const std::string& part) {
  visage_tracker* tracker = nullptr;
  EXPECT_EQ(visage_create(weights, (settings() + more).c_str(), &tracker), status) << more;
  EXPECT_EQ(tracker, nullptr);
  EXPECT_THAT(visage_last_error(), HasSubstr(part));
}

TEST(CTracker, RefusesWhatItCannotBeMadeOf) {
  const char* const weights = weights_file().c_str();
  EXPECT_EQ(visage_create(weights, settings().c_str(), nullptr), VISAGE_ERROR_USAGE);
  EXPECT_THAT(visage_last_error(), HasSubstr("tracker is NULL"));
  expect_refused(nullptr, "", VISAGE_ERROR_USAGE, "weights is NULL");
  expect_refused("/none.pth", "", VISAGE_ERROR_INPUT, "/none.pth");
  expect_refused(config_file().c_str(), "", VISAGE_ERROR_CHECKPOINT, "tiny.toml");
  expect_refused(weights, "; model.detector.num_queries=9", VISAGE_ERROR_CHECKPOINT, "query");
  expect_refused(weights, "; config=/none.toml", VISAGE_ERROR_USAGE, "/none.toml");
  expect_refused(weights, "; device=abacus", VISAGE_ERROR_USAGE, "abacus");
  expect_refused(weights, "; precision=f7", VISAGE_ERROR_USAGE, "f7");
  expect_refused(weights, "; precision=tf32", VISAGE_ERROR_USAGE, "needs a GPU");
  expect_refused(weights, "; tracking.alhpa=0.5", VISAGE_ERROR_USAGE, "tracking.alpha");
  expect_refused(weights, "; device", VISAGE_ERROR_USAGE, "key=value");
  visage_tracker* tracker = nullptr;  // without settings: the default model, which these weights do not fit
  EXPECT_EQ(visage_create(weights, nullptr, &tracker), VISAGE_ERROR_CHECKPOINT);
}

TEST(CTracker, RefusesWrongCallsAndGoesOn) {
  const Tracker tracker = create();
  const media::Image frame = image(0);
  visage_frame done{.struct_size = sizeof done};
  visage_object object{.struct_size = sizeof object};
  EXPECT_EQ(visage_feed(nullptr, frame.rgb.data(), kWidth, kHeight, 3 * kWidth), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_feed(tracker.get(), nullptr, kWidth, kHeight, 3 * kWidth), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_feed(tracker.get(), frame.rgb.data(), 0, kHeight, 3 * kWidth), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_feed(tracker.get(), frame.rgb.data(), 1 << 30, 1 << 30, 1 << 30), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_feed(tracker.get(), frame.rgb.data(), kWidth, kHeight, 3 * kWidth - 1), VISAGE_ERROR_USAGE);
  EXPECT_THAT(visage_last_error(), HasSubstr("239 bytes"));
  EXPECT_EQ(visage_object_at(tracker.get(), 0, &object), VISAGE_ERROR_USAGE);

  ASSERT_EQ(feed(tracker, frame), VISAGE_OK);
  EXPECT_EQ(feed(tracker, image(1, 48)), VISAGE_ERROR_INPUT);
  EXPECT_THAT(visage_last_error(), HasSubstr("frame 1 is 48x64, the frames before are 80x64"));
  EXPECT_EQ(visage_next(tracker.get(), nullptr), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_next_json(tracker.get(), nullptr), VISAGE_ERROR_USAGE);
  visage_frame no_size{};
  EXPECT_EQ(visage_next(tracker.get(), &no_size), VISAGE_ERROR_USAGE);
  ASSERT_EQ(visage_next(tracker.get(), &done), VISAGE_OK);
  EXPECT_EQ(visage_object_at(tracker.get(), done.objects, &object), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_object_at(tracker.get(), -1, &object), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_mask_at(tracker.get(), 0, nullptr, kWidth, 1, 1), VISAGE_ERROR_USAGE);
  std::uint8_t byte = 0;
  EXPECT_EQ(visage_mask_at(tracker.get(), 0, &byte, kWidth - 1, 1, 1), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_mask_at(tracker.get(), 0, &byte, kWidth, 0, 1), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_object_at(tracker.get(), 0, nullptr), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_next_json(nullptr, nullptr), VISAGE_ERROR_USAGE);
  EXPECT_EQ(visage_reset(nullptr), VISAGE_ERROR_USAGE);
  visage_destroy(nullptr);

  ASSERT_EQ(feed(tracker, image(1)), VISAGE_OK);
  ASSERT_EQ(visage_next(tracker.get(), &done), VISAGE_OK);
  EXPECT_EQ(done.index, 1);
}

TEST(CTracker, AsksForAResetAfterAFailureMidway) {
  // Embeddings overflow, which only the tracker sees.
  Model model(config::load_config(config_file()).model);
  fill(model);
  const Tensor& weight = model.params().find("appearance_decoder.reid_embd.layers.2.bias")->value;
  std::fill_n(weight.data<float>(), weight.numel(), 3e38f);
  const test::TemporaryFolder folder;
  nn::write_safetensors(folder / "weights.safetensors", nn::file_tensors(model.params()));
  visage_tracker* made = nullptr;
  ASSERT_EQ(visage_create((folder / "weights.safetensors").c_str(), settings().c_str(), &made), VISAGE_OK);
  const Tracker tracker{made, &visage_destroy};
  int frame = 0;
  while (frame < kFrames && feed(tracker, image(frame)) == VISAGE_OK) ++frame;
  ASSERT_LT(frame, kFrames);
  EXPECT_THAT(visage_last_error(), HasSubstr("finite"));
  EXPECT_EQ(feed(tracker, image(0)), VISAGE_ERROR_USAGE);
  EXPECT_THAT(visage_last_error(), HasSubstr("visage_reset"));
  EXPECT_EQ(visage_flush(tracker.get()), VISAGE_ERROR_USAGE);
  ASSERT_EQ(visage_reset(tracker.get()), VISAGE_OK);
  EXPECT_NE(feed(tracker, image(0)), VISAGE_ERROR_USAGE) << "it takes frames again";
}

// A stream has no end at which masks would be asked for, so none are kept.
TEST(CTracker, NeedsNoPlaceForTheMasksOfTheVideo) {
  const char* before = std::getenv("TMPDIR");
  const std::string folder = before ? before : "/tmp";
  setenv("TMPDIR", "/none", 1);
  EXPECT_EQ(feed(create(), image(0)), VISAGE_OK) << visage_last_error();
  setenv("TMPDIR", folder.c_str(), 1);
}

TEST(CTracker, SaysThatMemoryIsMissing) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the address sanitizer ends the process";
#endif
  EXPECT_EQ(feed(create(), image(0)), VISAGE_OK);  // starts the threads, whose stacks the limit might refuse
  // The frame grows to 8192x10240 pixels: a tensor of 1 GB.
  const Tracker tracker = create("; inference.shortest_edge=8192; inference.longest_edge=16384");
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  const rlimit limit{pages * static_cast<std::uint64_t>(getpagesize()) + (rlim_t{512} << 20), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
  const visage_status status = feed(tracker, image(0));
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_EQ(status, VISAGE_ERROR_MEMORY);
  EXPECT_THAT(visage_last_error(), HasSubstr("cannot allocate"));
}

TEST(CTracker, AnyThreadMayCall) {
  const std::vector<Told> alone = track_clip(create());
  EXPECT_EQ(visage_flush(nullptr), VISAGE_ERROR_USAGE);
  const std::string mine = visage_last_error();
  Tracker tracker = create();
  std::vector<Told> first, second;
  const auto track_and_destroy = [](Tracker own, std::vector<Told>& told) {
    EXPECT_STREQ(visage_last_error(), "");
    told = track_clip(own);
  };
  std::thread at_once(track_and_destroy, create(), std::ref(second));
  std::thread(track_and_destroy, std::move(tracker), std::ref(first)).join();
  at_once.join();
  EXPECT_TRUE(first == alone);
  EXPECT_TRUE(second == alone);
  EXPECT_EQ(visage_last_error(), mine);
}

}  // namespace
}  // namespace visage
