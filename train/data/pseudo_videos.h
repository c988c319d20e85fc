#pragma once
#include "train/data/dataset.h"
#include "visage/pseudo/procedural.h"
#include "visage/pseudo/pseudo_video.h"

namespace visage::train {

/// Synthetic videos drawn when they are asked for, without files: video i is PseudoVideo(options, i) with procedural
/// objects and backgrounds, the one that `visage pseudo` writes as number i.
class PseudoVideos : public Dataset {
 public:
  /// `videos`: how many different ones there are. Throws UsageError for options no video can have.
  PseudoVideos(pseudo::PseudoOptions options, int64_t videos, pseudo::ProceduralObjects::Options objects = {});

  [[nodiscard]] std::span<const annotation::Category> classes() const override { return objects_.categories(); }
  [[nodiscard]] int64_t size() const override { return videos_; }
  [[nodiscard]] VideoInfo info(int64_t video) const override;
  [[nodiscard]] Material material() const override { return Material::videos; }
  [[nodiscard]] RawClip load(int64_t video, std::span<const int64_t> frames) const override;

 private:
  pseudo::PseudoOptions options_;
  int64_t videos_;
  pseudo::ProceduralObjects objects_;
  pseudo::ProceduralBackgrounds backgrounds_;
  annotation::IdIndex label_of_;
};

}  // namespace visage::train
