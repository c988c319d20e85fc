// The evaluator at the size of a validation set: 300 videos of 36 frames at 720p, 40 predictions each, 40 categories.
// Seconds of all videos together; the masks are made outside the measured time.
#include "visage/evaluation/evaluator.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>

namespace {

using visage::annotation::Prediction;
using visage::annotation::Rle;
using visage::annotation::VideoDataset;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kVideos = 300, kPredictions = 40, kFrames = 36, kObjects = 5, kCategories = 40;
constexpr std::int64_t kHeight = 720, kWidth = 1280;

struct Ellipse {
  double x, y, radius_x, radius_y, speed_x, speed_y;
};

Ellipse random_ellipse(std::mt19937& random) {
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  return {uniform(100, 1180), uniform(100, 620), uniform(50, 300), uniform(50, 200), uniform(-8, 8), uniform(-4, 4)};
}

// A mask with one run a column and a ragged edge, as networks make them.
Rle mask_of(const Ellipse& ellipse, std::int64_t frame, std::mt19937& random) {
  const double x = ellipse.x + ellipse.speed_x * static_cast<double>(frame);
  const double y = ellipse.y + ellipse.speed_y * static_cast<double>(frame);
  std::vector<std::int64_t> counts;
  std::int64_t position = 0;
  for (std::int64_t column = 0; column < kWidth; ++column) {
    const double across = (static_cast<double>(column) - x) / ellipse.radius_x;
    if (across * across >= 1) continue;
    const double half = ellipse.radius_y * std::sqrt(1 - across * across) + static_cast<double>(random() % 5);
    const auto top = std::clamp<std::int64_t>(std::llround(y - half), 0, kHeight);
    const auto bottom = std::clamp<std::int64_t>(std::llround(y + half), top, kHeight);
    const std::int64_t begin = column * kHeight + top;
    counts.insert(counts.end(), {begin - position, bottom - top});
    position = begin + bottom - top;
  }
  counts.push_back(kHeight * kWidth - position);
  return visage::annotation::rle_from_counts(kHeight, kWidth, counts);
}

std::vector<std::optional<Rle>> track_of(const Ellipse& ellipse, std::mt19937& random) {
  std::vector<std::optional<Rle>> masks;
  for (std::int64_t frame = 0; frame < kFrames; ++frame) masks.emplace_back(mask_of(ellipse, frame, random));
  return masks;
}

struct Object {
  Ellipse ellipse;
  std::int64_t category;
};

// The data set, and its objects [videos, kObjects] for the predictions to follow.
struct Truth {
  VideoDataset dataset;
  std::vector<Object> objects;
};

Truth make_truth(std::mt19937& random) {
  Truth truth;
  truth.dataset.ground_truth = visage::annotation::GroundTruth::present;
  for (std::int64_t id = 1; id <= kCategories; ++id) {
    truth.dataset.category_index.emplace(id, truth.dataset.categories.size());
    truth.dataset.categories.push_back({.id = id, .name = std::to_string(id), .supercategory = ""});
  }
  for (std::int64_t video = 1; video <= kVideos; ++video) {
    truth.dataset.video_index.emplace(video, truth.dataset.videos.size());
    truth.dataset.videos.push_back(
        {.id = video, .height = kHeight, .width = kWidth, .file_names = std::vector<std::string>(kFrames, "x.jpg")});
    // The objects of a video are of few categories, as in the real sets.
    const std::int64_t category = 1 + static_cast<std::int64_t>(random() % kCategories);
    for (std::int64_t i = 0; i < kObjects; ++i) {
      const Object object{random_ellipse(random), i < 3 ? category : 1 + category % kCategories};
      truth.objects.push_back(object);
      visage::annotation::TrackAnnotation annotation;
      annotation.id = static_cast<std::int64_t>(truth.dataset.annotations.size()) + 1;
      annotation.video_id = video;
      annotation.category_id = object.category;
      annotation.masks = track_of(object.ellipse, random);
      for (const auto& mask : annotation.masks) annotation.areas.emplace_back(static_cast<double>(area(*mask)));
      truth.dataset.annotations.push_back(std::move(annotation));
    }
  }
  return truth;
}

std::vector<Prediction> make_predictions(const Truth& truth, std::int64_t video, std::mt19937& random) {
  std::vector<Prediction> predictions;
  for (std::int64_t i = 0; i < kPredictions; ++i) {
    Object object = truth.objects[(video - 1) * kObjects + i % kObjects];
    object.ellipse.x += static_cast<double>(random() % 60);
    object.ellipse.radius_y *= 0.8 + 0.01 * static_cast<double>(random() % 40);
    predictions.push_back({.video_id = video,
                           .score = static_cast<double>(random() % 1000) / 1000,
                           .category_id = object.category,
                           .masks = track_of(object.ellipse, random)});
  }
  return predictions;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void report(benchmark::State& state, double seconds, double ap) {
  state.SetIterationTime(seconds);
  state.counters["AP"] = ap;
  state.counters["masks/s"] = static_cast<double>(kVideos * kPredictions * kFrames) / seconds;
}

// Predictions as they come from a model, video by video.
void evaluate_streamed(benchmark::State& state) {
  for (auto _ : state) {
    std::mt19937 random(1);
    const Truth truth = make_truth(random);
    Clock::time_point start = Clock::now();
    visage::evaluation::Evaluator evaluator(truth.dataset);
    double seconds = seconds_since(start);
    for (std::int64_t video = 1; video <= kVideos; ++video) {
      const std::vector<Prediction> predictions = make_predictions(truth, video, random);
      start = Clock::now();
      evaluator.add(predictions);
      seconds += seconds_since(start);
    }
    start = Clock::now();
    const double ap = evaluator.result().ap.ap;
    report(state, seconds + seconds_since(start), ap);
  }
}
BENCHMARK(evaluate_streamed)->Iterations(1)->UseManualTime()->Unit(benchmark::kSecond);

// The same from a results file, reading included.
void evaluate_file(benchmark::State& state) {
  const std::string path = (std::filesystem::temp_directory_path() / "visage_vis_ap_bench.json").string();
  for (auto _ : state) {
    std::mt19937 random(1);
    const Truth truth = make_truth(random);
    visage::annotation::ResultsWriter writer(path);
    for (std::int64_t video = 1; video <= kVideos; ++video)
      for (const Prediction& prediction : make_predictions(truth, video, random)) writer.add(prediction);
    writer.close();
    const Clock::time_point start = Clock::now();
    visage::evaluation::Evaluator evaluator(truth.dataset);
    evaluator.add_file(path, truth.dataset);
    const double ap = evaluator.result().ap.ap;
    report(state, seconds_since(start), ap);
    state.counters["MB"] = static_cast<double>(std::filesystem::file_size(path)) / 1e6;
  }
  std::filesystem::remove(path);
}
BENCHMARK(evaluate_file)->Iterations(1)->UseManualTime()->Unit(benchmark::kSecond);

}  // namespace
