#include "train/data/pseudo_videos.h"

#include "tensor/error.h"

#include <algorithm>
#include <utility>

namespace visage::train {

PseudoVideos::PseudoVideos(pseudo::PseudoOptions options, int64_t videos, pseudo::ProceduralObjects::Options objects)
    : options_(std::move(options)), videos_(videos), objects_(objects) {
  pseudo::check_options(options_);
  check<UsageError>(videos >= 1, "PseudoVideos: the number of videos must be at least 1; got ", videos);
  for (size_t i = 0; i < objects_.categories().size(); ++i) label_of_.emplace(objects_.categories()[i].id, i);
}

VideoInfo PseudoVideos::info(int64_t video) const {
  return {.id = video, .name = "pseudo " + std::to_string(video), .size = options_.size, .frames = options_.frames};
}

RawClip PseudoVideos::load(int64_t video, std::span<const int64_t> frames) const {
  const pseudo::PseudoVideo drawn(options_, video, objects_, backgrounds_);
  const auto& sprites = drawn.objects();
  std::vector<RawInstance> instances(sprites.size());
  RawClip clip;
  for (size_t i = 0; i < sprites.size(); ++i) {
    instances[i].label = static_cast<int64_t>(label_of_.at(sprites[i].category_id));
    instances[i].masks.resize(frames.size());
  }
  for (size_t f = 0; f < frames.size(); ++f) {
    pseudo::PseudoFrame frame = drawn.render(frames[f]);
    for (size_t p = 0; p < frame.labels.size(); ++p) {
      if (frame.labels[p] == 0) continue;
      Mask& mask = instances[frame.labels[p] - 1].masks[f];
      if (mask.empty()) mask.resize(frame.labels.size());
      mask[p] = 1;
    }
    clip.images.push_back(std::move(frame.image));
  }
  for (RawInstance& instance : instances) {
    const bool visible =
        std::any_of(instance.masks.begin(), instance.masks.end(), [](const Mask& m) { return !m.empty(); });
    if (visible) clip.instances.push_back(std::move(instance));
  }
  return clip;
}

}  // namespace visage::train
