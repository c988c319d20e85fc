#pragma once
#include "visage/model/clip_detector.h"
#include "visage/pipeline/query_source.h"
#include "visage/tracking/chunk_stitcher.h"

#include <vector>

namespace visage::pipeline {

struct ChunkOptions {
  int shortest_edge = 480;  // of the network input
  int longest_edge = 1333;
  int window = 1;   // frames that pass backbone and pixel decoder together
  int frames = 10;  // of a chunk; a video of no more is one clip, as in the official code
  int overlap = 3;  // frames that a chunk shares with the one before
};

/// Mask2Former-VIS on videos of any length. A video is cut into chunks that overlap. Each is a clip of the network, in
/// which a query is an object; at the frames that two chunks share, their objects are joined to tracks
/// (tracking::ChunkStitcher). What is said about a frame comes from the first chunk that has it, so frames are visited
/// a chunk at a time, and the memory is that of a chunk however long the video is. The last chunk may be shorter.
///
/// QueryFrame::tracks has the query of each track; class logits and decoder queries are those of the chunk.
class ChunkDetector final : public QuerySource {
 public:
  /// The detector must outlive this object. throws UsageError for impossible options.
  ChunkDetector(ClipDetector& detector, const ChunkOptions& options);

  void feed(media::Frame frame, const FrameVisitor& visit) override;
  void flush(const FrameVisitor& visit) override;
  ops::MaskSizes mask_sizes() const override;

 private:
  /// Room for the maps of so many frames of the chunk; doubles, so that a short video does not pay for a long chunk.
  void reserve(const std::vector<Tensor>& like, std::int64_t frames);
  /// The maps of the frames that have none yet.
  void extract();
  void detect(const FrameVisitor& visit);
  /// What the next chunk begins with.
  void keep(std::vector<tracking::FrameMasks> last);
  std::vector<ops::QueryMask> masks(const Tensor& logits) const;
  bool full() const { return shared_ + std::ssize(frames_) == options_.frames; }

  ClipDetector& detector_;
  ChunkOptions options_;
  media::Size size_;
  bool in_video_ = false;
  std::vector<media::Frame> frames_;  // of the chunk without the shared ones
  std::int64_t shared_ = 0;           // first frames of the chunk, which the one before has, too
  std::vector<Tensor> maps_;          // ClipDetector::features, with room for more frames
  std::int64_t mapped_ = 0;           // frames in them
  tracking::ChunkStitcher stitcher_;
};

}  // namespace visage::pipeline
