#pragma once
#include "tensor/files.h"
#include "visage/media/frame_source.h"
#include "visage/media/video_writer.h"
#include "visage/pipeline/embedding_dump.h"
#include "visage/pipeline/video_pipeline.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace visage::pipeline {

using files::Existing;
enum class IdMaps { none, png };
enum class Embeddings { discard, dump };

/// Existing::refuse met a folder with something in it; Existing::replace would replace the results there.
struct FolderInUseError : InputError {
  using InputError::InputError;
};

/// The folder that the files of one run go to. What an earlier run left there stays until the files of this one are
/// complete; what that run did not make, by its run.json, is never removed. As long as it exists no other OutputFolder
/// can be made of the same folder, in this process or another: their files would replace each other.
class OutputFolder {
 public:
  /// Makes the folder, and those above it. throws InputError if it cannot be made, if another OutputFolder has it or if
  /// it holds a run.json of another program, FolderInUseError with Existing::refuse if it is not empty (what killed
  /// runs left does not count).
  OutputFolder(std::string path, Existing existing);
  /// Takes away a folder that was made here and is still empty.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// throws InputError if one of the files is a result in this folder, which the run that reads it would replace.
  void check_inputs(const std::vector<std::string>& inputs) const;
  /// Whether a folder of this name in it may be replaced: an earlier run made it.
  Existing existing(const std::string& name) const;
  /// Removes what earlier runs left, finished or not, but for `kept`, the files of this one.
  void remove_earlier(const std::vector<std::string>& kept) const;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  bool created_;
  std::unique_ptr<files::FolderLock> lock_;
  std::vector<std::string> earlier_;  // names of the results there
};

struct OutputOptions {
  media::FrameInfo clip;
  std::vector<std::string> class_names;  // in the order of class indices; empty: "class 7"
  std::vector<int> labels;               // class indices that are written, embeddings aside; empty: all
  std::optional<media::VideoFormat> overlay = media::VideoFormat::automatic;  // none: no overlay
  IdMaps id_maps = IdMaps::none;
  Embeddings embeddings = Embeddings::discard;
  std::int64_t video_id = 1;  // in results.json
};

/// Everything `visage track` writes about a video:
///   tracks.jsonl   a line a frame, as it happens (under its temporary name until the end; tensor/files.h): {"frame",
///                  "name", "size": [height, width], "objects": [{"track", "category_id", "label", "score", "box":
///                  [x, y, w, h], "area", "segmentation": {"size", "counts"}}]}
///   overlay.mp4    or overlay.gif, or the folder overlay_frames
///   id_maps/       a 16-bit PNG a frame: 0 background, track + 1 otherwise, the higher score in front
///   results.json   YouTube-VIS submission format, category ids from 1
///   embeddings.safetensors  what the detector said about every frame (visage/pipeline/embedding_dump.h)
/// Every file appears under its name when it is complete. Functions throw InputError naming the file when it cannot be
/// written.
class OutputWriter {
 public:
  OutputWriter(const OutputFolder& folder, OutputOptions options);
  ~OutputWriter();
  OutputWriter(const OutputWriter&) = delete;
  OutputWriter& operator=(const OutputWriter&) = delete;

  /// What the detector said about a frame, before it is tracked: the observer of the pipeline, needed for embeddings.
  void observe(const QueryFrame& queries);
  void add(const TrackedFrame& tracked);
  /// Writes the result of the video and gives all files their names, those that cost most first: results.json,
  /// tracks.jsonl, id maps, overlay, embeddings. Without results.json nothing else appears; after it, one that fails
  /// does not keep the others back; its error is thrown at the end and says that results.json is complete. Call after
  /// flush() of the pipeline.
  void finish(const VideoPipeline& pipeline);

  /// Names of the files that finish() has put into the folder, in that order.
  const std::vector<std::string>& files() const { return published_; }
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
  std::optional<EmbeddingDump> embeddings_;
  std::vector<std::string> frame_names_;  // for the embeddings
  std::vector<std::string> published_;
  std::int64_t rows_ = 0;
};

}  // namespace visage::pipeline
