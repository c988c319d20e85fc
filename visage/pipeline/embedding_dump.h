#pragma once
#include "visage/pipeline/query_frame.h"

#include <cstdint>
#include <string>
#include <vector>

namespace visage::pipeline {

/// Collects what the detector says about every frame in one safetensors file, so that other trackers and settings can
/// be tried without running it again:
///   logits [T, Q, K + 1], object and appearance [T, Q, C] f32, mask_logits [T, Q, h, w] f16;
///   metadata: video, frame_names (JSON list) and the sizes of ops::MaskSizes as "HEIGHTxWIDTH".
/// Until close() the data lies in unnamed files in the folder of `path`: memory does not grow with the video.
class EmbeddingDump {
 public:
  /// throws InputError if the folder cannot be written.
  explicit EmbeddingDump(std::string path);
  ~EmbeddingDump();
  EmbeddingDump(const EmbeddingDump&) = delete;
  EmbeddingDump& operator=(const EmbeddingDump&) = delete;

  /// The next frame. throws InputError when the disk is full.
  void add(const QueryFrame& frame);
  /// Writes the file, which appears under its name when it is complete. throws InputError.
  void close(const std::string& video, const std::vector<std::string>& frame_names, const ops::MaskSizes& sizes);

  std::int64_t frames() const { return frames_; }

 private:
  struct Part;
  std::string path_;
  std::vector<Part> parts_;
  std::int64_t frames_ = 0;
};

}  // namespace visage::pipeline
