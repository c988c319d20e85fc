#pragma once
#include "visage/annotation/ytvis_writer.h"
#include "visage/media/video_writer.h"
#include "visage/pseudo/pseudo_video.h"

#include <functional>
#include <optional>
#include <span>
#include <string>

namespace visage::pseudo {

inline constexpr const char* kAnnotationFile = "instances.json";
inline constexpr const char* kImageFolder = "JPEGImages";
inline constexpr const char* kVideoPrefix = "video_";

/// "mode swap, swap mode derangement, seed 1, videos 10, ...": the options that decide what is in a set.
[[nodiscard]] std::string describe(const PseudoOptions& options, int64_t videos);

enum class FrameFormat {
  png,  // exact
  jpg,  // quality 95: a fraction of the size where there are photographs
};

/// Writes a set in YouTube-VIS layout into a folder that exists: JPEGImages/video_0000/00000.png ..., instances.json
/// and, where a frame rate is given, a clip video_0000.mp4 (gif where there is no encoder) of every video. Functions
/// throw InputError when writing fails.
class DatasetWriter {
 public:
  /// `description` goes into "info" of the annotations.
  DatasetWriter(std::string folder, std::string_view description, std::span<const annotation::Category> categories,
                std::optional<double> clip_fps = {}, FrameFormat format = FrameFormat::png);
  /// The next video; ids of videos and objects count from 1. A few frames at a time are drawn, on all threads;
  /// `progress` is then told how many of this video's are done. What it throws ends the writing.
  void add(const PseudoVideo& video, const std::function<void(int64_t frames)>& progress = {});
  /// Writes the annotations, which make the set complete.
  void close() { annotations_.close(); }

 private:
  std::string folder_;
  annotation::YtvisWriter annotations_;
  std::optional<double> clip_fps_;
  FrameFormat format_;
  int64_t videos_ = 0, tracks_ = 0;
};

}  // namespace visage::pseudo
