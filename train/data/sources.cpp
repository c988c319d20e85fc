#include "train/data/sources.h"

#include "tensor/error.h"
#include "tensor/log.h"
#include "train/data/check.h"
#include "train/data/pseudo_videos.h"
#include "visage/annotation/category_map.h"

#include <algorithm>

namespace visage::train {
namespace {

AugmentOptions augmentation(const TrainDataConfig& data, Material material) {
  AugmentOptions options = material == Material::images ? image_augmentation() : AugmentOptions();
  options.short_edges.clear();
  for (int edge = data.least_edge; edge <= data.most_edge; edge += 32) options.short_edges.push_back(edge);
  options.longest_edge = data.longest_edge;
  options.flip_probability = data.flip_probability;
  options.crop_probability = data.crop_probability;
  options.crop_least = data.crop_least;
  options.crop_most = data.crop_most;
  options.most_hue = data.hue;
  if (material == Material::images) options.most_rotation = data.rotation;
  return options;
}

std::shared_ptr<const Dataset> procedural_videos(const TrainConfig& config) {
  const TrainDataConfig& data = config.data;
  pseudo::PseudoOptions options;
  options.size = {data.width, data.height};
  options.frames = data.video_frames;
  options.seed = static_cast<std::uint64_t>(config.seed);
  options.mode = pseudo::Mode::track;  // exchanged paths are for evaluation: real clips have none
  options.least_objects = data.least_objects;
  options.most_objects = data.most_objects;
  return std::make_shared<PseudoVideos>(options, data.videos);
}

std::shared_ptr<const Dataset> first_dataset(const TrainConfig& config) {
  const TrainDataConfig& data = config.data;
  if (data.kind == DataKind::synthetic) return procedural_videos(config);
  check<UsageError>(!data.path.empty(), "train.data.path is empty; set it to an annotation file or its folder");
  auto dataset = open_training_data(data.path, {.image_root = data.images});
  const bool images = dataset->material() == Material::images;
  check<UsageError>(images == (data.kind == DataKind::coco), "", data.path, ": holds ", images ? "images" : "videos",
                    "; set train.data.kind = \"", images ? "coco" : "ytvis", '"');
  return dataset;
}

// Labels are positions, so names in another order would train every class under a wrong name.
void check_classes(const Config& config, std::span<const annotation::Category> classes) {
  const auto count = static_cast<int>(classes.size());
  check<UsageError>(count == config.model.detector.num_classes, "the data set has ", count, " classes, the model ",
                    config.model.detector.num_classes, "; set model.detector.num_classes = ", count);
  for (std::size_t i = 0; i < config.class_names.size(); ++i)
    if (config.class_names[i] != classes[i].name)
      log::warn("class ", i, " is \"", classes[i].name, "\" in the data set, \"", config.class_names[i],
                "\" in class_names");
}

Source source_of(std::shared_ptr<const Dataset> dataset, const TrainConfig& config) {
  const Material material = dataset->material();
  Source source{.dataset = std::move(dataset), .clips = {}};
  source.clips.frames = config.frames;
  source.clips.range = config.data.range;
  source.clips.replacement = config.data.sampling;
  source.clips.augment = augmentation(config.data, material);
  if (config.data.copy_paste && material == Material::images) source.clips.copy_paste = CopyPasteOptions();
  return source;
}

}  // namespace

std::vector<Source> make_sources(const Config& config) {
  const TrainConfig& train = config.train;
  std::vector<Source> sources{source_of(first_dataset(train), train)};
  const auto classes = sources[0].dataset->classes();
  check_classes(config, classes);
  const JointDataConfig& joint = train.data.joint;
  if (joint.path.empty()) return sources;
  Source second = source_of(open_training_data(joint.path, {.image_root = joint.images}), train);
  second.ratio = joint.ratio;
  second.clips.label_map = annotation::label_map(joint.classes, second.dataset->classes(), classes);
  sources.push_back(std::move(second));
  return sources;
}

BatchOptions batch_options(const TrainConfig& config) {
  return {.clips = config.clips, .seed = static_cast<std::uint64_t>(config.seed), .mixing = config.data.joint.mixing};
}

}  // namespace visage::train
