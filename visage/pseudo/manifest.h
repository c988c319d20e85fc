#pragma once
#include "visage/pseudo/coco_objects.h"
#include "visage/pseudo/dataset_writer.h"
#include "visage/pseudo/image_backgrounds.h"
#include "visage/pseudo/pseudo_video.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace visage::pseudo {

/// What a video of a set is made of.
struct VideoRecord {
  struct Object {
    int64_t category_id = 0;
    std::string identity;
    std::optional<CocoId> coco;
    bool operator==(const Object&) const = default;
  };
  media::Size size;
  std::string background;
  std::vector<Object> objects;
  std::optional<int64_t> swap_frame;
  std::vector<int64_t> permutation;
  bool operator==(const VideoRecord&) const = default;
};
[[nodiscard]] VideoRecord record_of(const PseudoVideo& video);

/// Everything needed to make a set again, besides the COCO and background images. manifest.json of a set.
struct Manifest {
  PseudoOptions options;
  std::string classes;    // of CocoObjects; empty: procedural objects
  bool pictures = false;  // backgrounds are images of a folder, otherwise procedural
  FrameFormat format = FrameFormat::png;
  std::optional<double> clip_fps;  // none: no clips
  std::vector<VideoRecord> videos;
};

inline constexpr const char* kManifestFile = "manifest.json";

/// throws InputError when writing fails.
void write_manifest(const std::string& path, const Manifest& manifest);
/// throws InputError naming the file, and the place in it, for anything that write_manifest() does not write.
[[nodiscard]] Manifest read_manifest(const std::string& path);

/// Gives the objects that a record lists, and leaves `random` as CocoObjects would.
class RecordedObjects : public ObjectSource {
 public:
  RecordedObjects(const CocoObjects& source, const VideoRecord& record) : source_(source), record_(record) {}
  [[nodiscard]] std::span<const annotation::Category> categories() const override { return source_.categories(); }
  /// throws InputError when the instances are not there, or are of other images.
  [[nodiscard]] std::vector<Sprite> draw(int64_t count, media::Size frame, Random& random) const override;

 private:
  const CocoObjects& source_;
  const VideoRecord& record_;
};

/// The same for backgrounds.
class RecordedBackgrounds : public BackgroundSource {
 public:
  RecordedBackgrounds(const ImageBackgrounds& source, const VideoRecord& record) : source_(source), record_(record) {}
  [[nodiscard]] Background draw(media::Size frame, Random& random) const override;

 private:
  const ImageBackgrounds& source_;
  const VideoRecord& record_;
};

}  // namespace visage::pseudo
