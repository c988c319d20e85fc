#pragma once
#include "tensor/files.h"

#include <cstdint>
#include <string>
#include <vector>

namespace visage::pipeline {

/// Masks of a video, kept in an unnamed temporary file until it is known which tracks are wanted: the memory of a long
/// video does not grow with its masks. The file is in TMPDIR (default /tmp) and vanishes with the process.
class MaskSpool {
 public:
  /// throws InputError if no temporary file can be made.
  explicit MaskSpool(int tracks);

  /// Appends a frame: for every track the compressed run-length string of its mask, empty where it has none.
  /// throws InputError when the disk is full.
  void append(const std::vector<std::string>& masks);
  std::int64_t frames() const { return static_cast<std::int64_t>(frame_offsets_.size()); }
  /// The mask of a track in a frame; empty where it has none.
  [[nodiscard]] std::string read(std::int64_t frame, int track) const;

 private:
  int tracks_;
  files::FilePtr file_;
  std::vector<std::int64_t> frame_offsets_;  // of each frame's table of mask ends
  std::int64_t end_ = 0;
};

}  // namespace visage::pipeline
