#pragma once
#include "visage/annotation/ytvis_writer.h"
#include "visage/media/video_writer.h"
#include "visage/pseudo/pseudo_video.h"

#include <optional>
#include <span>
#include <string>

namespace visage::pseudo {

inline constexpr const char* kAnnotationFile = "instances.json";
inline constexpr const char* kImageFolder = "JPEGImages";
inline constexpr const char* kVideoPrefix = "video_";

/// "mode swap, swap mode derangement, seed 1, videos 10, ...": everything that decides what is in a set.
[[nodiscard]] std::string describe(const PseudoOptions& options, int64_t videos);

/// Writes a set in YouTube-VIS layout into a folder that exists: JPEGImages/video_0000/00000.png ..., instances.json
/// and, where a frame rate is given, a clip video_0000.mp4 (gif where there is no encoder) of every video. Functions
/// throw InputError when writing fails.
class DatasetWriter {
 public:
  /// `description` goes into "info" of the annotations.
  DatasetWriter(std::string folder, std::string_view description, std::span<const annotation::Category> categories,
                std::optional<double> clip_fps = {});
  /// The next video; ids of videos and objects count from 1.
  void add(const PseudoVideo& video);
  /// Writes the annotations, which make the set complete.
  void close() { annotations_.close(); }

 private:
  std::string folder_;
  annotation::YtvisWriter annotations_;
  std::optional<double> clip_fps_;
  int64_t videos_ = 0, tracks_ = 0;
};

}  // namespace visage::pseudo
