// Training clips from JPEG and PNG folders and from the procedural generator: decoding, augmentation and collation on
// one thread, and the loader's throughput with worker threads. Reported is the time of one clip.
#include "tensor/cpu/parallel.h"
#include "train/data/folders.h"
#include "train/data/loader.h"
#include "train/data/pseudo_videos.h"
#include "visage/media/png.h"

#include <benchmark/benchmark.h>

#include <filesystem>
#include <memory>
#include <string>

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace {

using namespace visage;
using namespace visage::train;

constexpr int64_t kVideos = 4, kFrames = 12;

// Procedural videos written as PNG and as JPEG of quality 90.
class Folders {
 public:
  Folders() : root_(std::filesystem::temp_directory_path() / "visage_loader_bench") {
    std::filesystem::remove_all(root_);
    const PseudoVideos videos(options(), kVideos);
    for (int64_t v = 0; v < kVideos; ++v) write(videos, v);
    for (const annotation::Category& category : videos.classes()) data_.categories.push_back(category);
  }
  ~Folders() { std::filesystem::remove_all(root_); }

  static pseudo::PseudoOptions options() { return {.size = {1280, 720}, .frames = kFrames, .seed = 3}; }

  std::shared_ptr<const Dataset> dataset(const std::string& extension) const {
    annotation::VideoDataset data = data_;
    for (annotation::Video& video : data.videos)
      for (std::string& name : video.file_names) name += extension;
    return std::make_shared<YtvisFolder>(std::move(data), root_.string());
  }

 private:
  void write(const PseudoVideos& videos, int64_t v) {
    std::vector<int64_t> frames(kFrames);
    for (int64_t f = 0; f < kFrames; ++f) frames[f] = f;
    const RawClip clip = videos.load(v, frames);
    const std::filesystem::path folder = root_ / std::to_string(v);
    std::filesystem::create_directories(folder);
    data_.video_index.emplace(v, data_.videos.size());
    data_.videos.push_back({.id = v, .height = 720, .width = 1280, .file_names = {}});
    for (int64_t f = 0; f < kFrames; ++f) {
      const std::string name = std::to_string(f);
      data_.videos.back().file_names.push_back(std::to_string(v) + "/" + name);
      media::write_png((folder / (name + ".png")).string(), clip.images[f]);
      stbi_write_jpg((folder / (name + ".jpg")).c_str(), 1280, 720, 3, clip.images[f].rgb.data(), 90);
    }
    for (const RawInstance& instance : clip.instances) add_track(v, instance, videos.classes()[instance.label].id);
  }

  void add_track(int64_t v, const RawInstance& instance, int64_t category) {
    annotation::TrackAnnotation track{.id = static_cast<int64_t>(data_.annotations.size()) + 1,
                                      .video_id = v,
                                      .category_id = category,
                                      .is_crowd = false,
                                      .masks = {},
                                      .boxes = {},
                                      .areas = {}};
    for (const Mask& mask : instance.masks) {
      track.masks.emplace_back();
      track.boxes.emplace_back();
      if (mask.empty()) continue;
      track.masks.back() = annotation::encode_rows(mask.data(), 720, 1280);
      track.boxes.back() = annotation::bounding_box(*track.masks.back());
    }
    data_.annotations.push_back(std::move(track));
  }

  std::filesystem::path root_;
  annotation::VideoDataset data_;
};

std::shared_ptr<const Dataset> dataset(const std::string& kind, media::Size size) {
  static const Folders folders;
  if (kind != "procedural") return folders.dataset(kind);
  pseudo::PseudoOptions options = Folders::options();
  options.size = size;
  options.frames = 36;
  return std::make_shared<PseudoVideos>(options, 1000);
}

ClipOptions clip_options(int64_t frames, int64_t short_edge) {
  ClipOptions options;
  options.frames = frames;
  if (short_edge > 0) {
    options.augment.short_edges = {short_edge};
    options.augment.crop_probability = 0;
  }
  return options;
}

void one_clip(benchmark::State& state, const std::string& kind, media::Size size, int64_t frames, int64_t short_edge) {
  const auto data = dataset(kind, size);
  const ClipSampler sampler(data, clip_options(frames, short_edge), 7);
  const int threads = cpu::num_threads();
  cpu::set_num_threads(1);
  int64_t index = 0;
  for (auto _ : state) {
    const ClipSample clip = sampler.sample(index);
    benchmark::DoNotOptimize(collate({&clip, 1}, index++).images.data<float>());
  }
  cpu::set_num_threads(threads);
}

void loader(benchmark::State& state, const std::string& kind, int64_t workers) {
  const auto data = dataset(kind, {1280, 720});
  LoaderOptions options{.batch = {.clips = 1}, .workers = workers};
  Loader batches({{.dataset = data, .clips = clip_options(4, 0)}}, options);
  for (auto _ : state) benchmark::DoNotOptimize(batches.next().images.data<float>());
}

const int registered = [] {
  const auto add = [](const char* name, auto... arguments) {
    benchmark::RegisterBenchmark(name, one_clip, arguments...)->Unit(benchmark::kMillisecond)->MinTime(1);
  };
  using namespace std::string_literals;
  add("clip/jpeg/1280x720/frames:4", ".jpg"s, media::Size{1280, 720}, 4, 0);
  add("clip/png/1280x720/frames:4", ".png"s, media::Size{1280, 720}, 4, 0);
  add("clip/procedural/160x96/frames:2", "procedural"s, media::Size{160, 96}, 2, 96);
  add("clip/procedural/320x192/frames:2", "procedural"s, media::Size{320, 192}, 2, 192);
  add("clip/procedural/640x360/frames:4", "procedural"s, media::Size{640, 360}, 4, 360);
  for (const int64_t workers : {1, 2})
    benchmark::RegisterBenchmark(("loader/jpeg/frames:4/workers:" + std::to_string(workers)).c_str(), loader, ".jpg"s,
                                 workers)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime()
        ->MinTime(1);
  return 0;
}();

}  // namespace
