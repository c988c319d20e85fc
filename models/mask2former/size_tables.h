#pragma once
#include "models/mask2former/config.h"
#include "ops/deform_attention/deform_attention.h"

#include <cstdint>
#include <map>
#include <span>
#include <tuple>

namespace visage {

/// What an inference plan computes once for a size of frames. Keeps kMostPlannedSizes of them and forgets all at one
/// more, so that a folder of pictures of all sizes does not fill the memory.
template <class Entry>
class SizeTables {
 public:
  /// That of frames with these levels, told apart by the coarsest, in clips of `frames`; a new one is as Entry() makes
  /// it.
  Entry& of(std::span<const ops::LevelShape> shapes, std::int64_t frames = 1) {
    const std::tuple size{frames, shapes[0].height, shapes[0].width};
    if (!entries_.contains(size) && entries_.size() >= kMostPlannedSizes) {
      entries_.clear();
      ++forgotten_;
    }
    return entries_[size];
  }
  /// How often the tables were forgotten. A graph that was captured before then reads freed memory.
  std::int64_t forgotten() const { return forgotten_; }

 private:
  std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, Entry> entries_;
  std::int64_t forgotten_ = 0;
};

}  // namespace visage
