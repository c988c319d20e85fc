#include "train/data/sources.h"

#include "tensor/error.h"
#include "train/data/check.h"
#include "train/data/pseudo_videos.h"

namespace visage::train {
namespace {

AugmentOptions augmentation(const TrainDataConfig& data) {
  AugmentOptions options;
  options.short_edges.clear();
  for (int edge = data.least_edge; edge <= data.most_edge; edge += 32) options.short_edges.push_back(edge);
  options.longest_edge = 2 * data.most_edge;
  options.crop_probability = data.crop_probability;
  return options;
}

std::shared_ptr<const Dataset> procedural_videos(const Config& config) {
  const TrainDataConfig& data = config.train.data;
  pseudo::PseudoOptions options;
  options.size = {data.width, data.height};
  options.frames = data.video_frames;
  options.seed = static_cast<std::uint64_t>(config.train.seed);
  options.mode = pseudo::Mode::track;  // exchanged paths are for evaluation: real clips have none
  options.least_objects = data.least_objects;
  options.most_objects = data.most_objects;
  return std::make_shared<PseudoVideos>(options, data.videos);
}

std::shared_ptr<const Dataset> open_dataset(const Config& config) {
  const TrainDataConfig& data = config.train.data;
  if (data.kind == DataKind::synthetic) return procedural_videos(config);
  check<UsageError>(!data.path.empty(), "train.data.path is empty; set it to a folder in YouTube-VIS layout");
  return open_training_data(data.path);
}

}  // namespace

std::vector<Source> make_sources(const Config& config) {
  Source source;
  source.dataset = open_dataset(config);
  const auto classes = static_cast<int>(source.dataset->classes().size());
  check<UsageError>(classes == config.model.detector.num_classes, "the data set has ", classes, " classes, the model ",
                    config.model.detector.num_classes, "; set model.detector.num_classes = ", classes);
  source.clips.frames = config.train.frames;
  source.clips.range = config.train.data.range;
  source.clips.augment = augmentation(config.train.data);
  return {source};
}

}  // namespace visage::train
