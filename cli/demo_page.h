#pragma once
#include "cli/track.h"
#include "tensor/stage_timer.h"
#include "visage/media/image.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace visage::cli {

/// Instead of a track, in DemoRun::ids: the object cannot be seen, or no track covers it.
inline constexpr int kHidden = -2, kLost = -1;

/// One way to track a clip, and what came of it.
struct DemoRun {
  std::string title;
  TrackCommand command;
  TrackSummary summary;
  std::vector<StageTime> stages;
  std::vector<media::Image> masks;    // a frame each: the tracks, a colour each
  std::vector<std::vector<int>> ids;  // [object][frame]: the track on the object, kHidden or kLost
  std::string overlay_file;           // path of the clip that is embedded; empty without one
};

struct DemoClip {
  std::string title, text;
  std::vector<std::string> objects;  // what was drawn
  std::optional<std::int64_t> swap_frame;
  std::vector<media::Image> inputs, truths;  // a frame each
  std::vector<DemoRun> runs;
};

struct DemoPage {
  std::vector<DemoClip> clips;
};

/// How many objects have the same track before and after the middle (the swap, where there is one): most of the frames
/// that show them, on each side. An object that one side never shows or tracks has lost its track.
std::int64_t objects_kept(const DemoClip& clip, const DemoRun& run);

/// Writes the page as one HTML file that needs no other. throws InputError if it cannot be written.
void write_demo_page(const std::string& path, const DemoPage& page);

}  // namespace visage::cli
