#pragma once
#include "cli/track.h"
#include "visage/media/image.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace visage::cli {

/// One frame as the page shows it, row by row.
struct DemoFrame {
  media::Image input;
  media::Image truth;    // the objects as they were drawn, a colour each
  media::Image masks;    // the tracks, a colour each
  media::Image overlay;  // both together, with labels
};

/// A track as it stands in tracks.jsonl.
struct DemoTrack {
  int track = 0;
  std::string label;  // of its best frame
  double score = 0;   // the best
  std::int64_t frames = 0;
};

struct DemoPage {
  std::vector<DemoFrame> frames;
  std::vector<DemoTrack> tracks;
  std::vector<std::string> objects;  // what was drawn
  std::optional<std::int64_t> swap_frame;
  std::string overlay_file;  // path of the clip that is embedded
  TrackSummary summary;
  TrackCommand command;
};

/// Writes the page as one HTML file that needs no other. throws InputError if it cannot be written.
void write_demo_page(const std::string& path, const DemoPage& page);

}  // namespace visage::cli
