#pragma once
#include "visage/media/frame_source.h"
#include "visage/media/video_writer.h"
#include "visage/pipeline/video_pipeline.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace visage::pipeline {

/// What to do with a folder that holds something already.
enum class Existing { refuse, replace };
enum class IdMaps { none, png };

/// The folder that the files of one run go to.
class OutputFolder {
 public:
  /// Makes the folder, and those above it. With Existing::replace the files of an earlier run are removed by clear().
  /// throws InputError if it cannot be made or, with Existing::refuse, is not empty (what a run that was
  /// killed left unfinished does not count).
  OutputFolder(std::string path, Existing existing);
  /// Takes away a folder that was made here and is still empty.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// Removes what an earlier run left; nothing else is touched.
  void clear() const;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  bool created_;
};

struct OutputOptions {
  media::FrameInfo clip;
  std::vector<std::string> class_names;  // in the order of class indices; empty: "class 7"
  std::optional<media::VideoFormat> overlay = media::VideoFormat::automatic;  // none: no overlay
  IdMaps id_maps = IdMaps::none;
  std::int64_t video_id = 1;  // in results.json
};

/// Name of a class for people: of `class_names`, or "class 7" with its id, which counts from 1 as in YouTube-VIS.
std::string class_name(const std::vector<std::string>& class_names, int label);

/// Everything `visage track` writes about a video:
///   tracks.jsonl   a line a frame, as it happens (tracks.jsonl.partial until the end): {"frame", "name", "size":
///                  [height, width], "objects": [{"track", "category_id", "label", "score", "box": [x, y, w, h],
///                  "area", "segmentation": {"size", "counts"}}]}
///   overlay.mp4    or overlay.gif, or the folder overlay_frames
///   id_maps/       a 16-bit PNG a frame: 0 background, track + 1 otherwise, the higher score in front
///   results.json   YouTube-VIS submission format, category ids from 1
/// Every file appears under its name when it is complete. Functions throw InputError naming the file when it cannot be
/// written.
class OutputWriter {
 public:
  OutputWriter(const OutputFolder& folder, OutputOptions options);
  ~OutputWriter();
  OutputWriter(const OutputWriter&) = delete;
  OutputWriter& operator=(const OutputWriter&) = delete;

  void add(const TrackedFrame& tracked);
  /// Writes the result of the video and gives all files their names. Call after flush() of the pipeline.
  void finish(const VideoPipeline& pipeline);

  /// File names in the folder, in the order of the list above.
  std::vector<std::string> files() const;
  /// Rows of results.json; after finish().
  std::int64_t rows() const { return rows_; }

 private:
  class Lines;
  class Maps;
  void write_results(const VideoPipeline& pipeline);

  const OutputFolder& folder_;
  OutputOptions options_;
  std::unique_ptr<Lines> lines_;
  std::unique_ptr<Maps> maps_;
  std::unique_ptr<media::VideoWriter> overlay_;
  std::int64_t rows_ = 0;
};

}  // namespace visage::pipeline
