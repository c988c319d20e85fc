#pragma once
#include "visage/annotation/video_tracks.h"

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>

namespace visage::cli {

enum class TrackFormat { mot, coco, labelme, cvat };

/// `visage export`: tracks of one video in the format of another tool.
struct ExportCommand {
  std::string results;      // folder of `visage track`, tracks.jsonl, results.json or a YouTube-VIS annotation file
  std::string annotations;  // data set of results.json
  std::optional<std::int64_t> video_id;  // needed where there are several videos
  std::optional<TrackFormat> format;
  std::string classes;  // names or ids, separated by commas; empty: all
  double min_score = 0;
  double tolerance = 0;  // of polygons, in pixels
  std::string output;
};

/// Prints what was written. throws UsageError or InputError.
void run_export(const ExportCommand& command, std::ostream& out);

/// `visage import`: the way back, into a YouTube-VIS annotation file.
struct ImportCommand {
  std::string input;
  std::optional<TrackFormat> format;
  std::string frames;  // the video or its images; empty: what the input says
  std::string output;
};

/// Prints what was written. throws UsageError or InputError.
void run_import(const ImportCommand& command, std::ostream& out);

}  // namespace visage::cli
