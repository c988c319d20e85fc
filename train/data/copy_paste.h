#pragma once
#include "train/data/counter_random.h"
#include "train/data/dataset.h"

#include <cstdint>
#include <vector>

namespace visage::train {

struct ClipSample;

/// Copy-paste of the official COCO pseudo-clips: the objects of a second image are pasted into every frame of a clip,
/// at a place and size drawn anew for each frame, so that they jump.
struct CopyPasteOptions {
  double least_scale = 0.5, most_scale = 1;  // of the second image, which at 1 just fits the frame
  double most_cover = 0.5;  // an object is pasted only if it covers less than this share of every object of the frame
};

/// Throws UsageError naming the option.
void check_options(const CopyPasteOptions& options);

/// Pastes the objects of `second` (one frame; labels are the network's) into `clip`. They become new objects of the
/// clip, absent in frames where they were not pasted; what they cover is taken away from the others.
void copy_paste(const CopyPasteOptions& options, const RawClip& second, uint64_t key, ClipSample& clip);

}  // namespace visage::train
