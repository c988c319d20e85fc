#pragma once
#include "tensor/files.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace visage::pipeline {

/// Masks of a video, kept in an unnamed temporary file until it is known which tracks are wanted: the memory of a long
/// video does not grow with its masks. The file is in TMPDIR (default /tmp) and vanishes with the process.
class MaskSpool {
 public:
  /// throws InputError if no temporary file can be made.
  MaskSpool();

  /// The mask of a track as compressed run-length string.
  struct Entry {
    int track;
    std::string_view mask;
  };
  /// Appends a frame: the tracks that have a mask in it, in ascending order. throws InputError when the disk is full.
  void append(std::span<const Entry> masks);
  std::int64_t frames() const { return static_cast<std::int64_t>(frames_.size()); }
  /// The mask of a track in a frame; empty where it has none.
  [[nodiscard]] std::string read(std::int64_t frame, int track) const;

 private:
  struct Frame {
    std::int64_t offset;  // of the table in front of the masks
    std::int64_t masks;
  };
  files::FilePtr file_;
  std::vector<Frame> frames_;
  std::int64_t end_ = 0;
};

}  // namespace visage::pipeline
