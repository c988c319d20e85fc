#include "models/mask2former/targets.h"

#include <algorithm>

namespace visage {

void mark_absent(std::vector<FrameTargets>& frames, std::int64_t num_classes, AbsentLabels rule) {
  if (frames.empty()) return;
  for (std::int64_t i = 0; i < frames[0].count(); ++i) {
    const auto absent = [i](const FrameTargets& frame) { return frame.ids[i] < 0; };
    const bool anywhere = std::any_of(frames.begin(), frames.end(), absent);
    for (FrameTargets& frame : frames)
      if (rule == AbsentLabels::release ? anywhere : absent(frame)) frame.labels[i] = num_classes;
  }
}

}  // namespace visage
