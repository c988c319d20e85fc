#pragma once
#include "visage/media/frame_source.h"
#include "visage/pipeline/query_frame.h"

#include <functional>

namespace visage::pipeline {

/// A frame and what the network says about it.
using FrameVisitor = std::function<void(media::Frame frame, const QueryFrame& queries)>;

/// The network on the frames of videos, in order. What is done with the queries of a frame is up to the visitor, so
/// that several trackers can share one pass.
class QuerySource {
 public:
  virtual ~QuerySource() = default;
  /// Takes the next frame, and visits those that are done, in order.
  /// throws InputError if the size differs from the frames before of the same video.
  virtual void feed(media::Frame frame, const FrameVisitor& visit) = 0;
  /// Visits all frames that were fed: the end of a video. The next may have frames of another size.
  virtual void flush(const FrameVisitor& visit) = 0;
  /// Sizes of the network input, of the frame in it, and of the masks, of the current video or the last; zeros before
  /// the first frame.
  virtual ops::MaskSizes mask_sizes() const = 0;
  /// From now on the tensors of a visited frame on the device are its own. Nothing is on its way.
  virtual void keep_tensors() {}
  /// Of the graph for frames of the last size; 0 where there is none.
  virtual std::size_t graph_nodes() const { return 0; }
};

}  // namespace visage::pipeline
