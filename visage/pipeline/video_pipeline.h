#pragma once
#include "visage/pipeline/network.h"
#include "visage/pipeline/track_assembler.h"

#include <memory>
#include <vector>

namespace visage::pipeline {

/// A frame and what was found in it.
struct TrackedFrame {
  media::Frame frame;
  FrameResult result;
};

/// Sees the queries of a frame and its tensors on the device before their tracks are known (for caches of embeddings).
using QueryObserver = std::function<void(const QueryFrame& queries)>;

/// A video, frame by frame: resize, detect, track. All frames have one size. With a model of Mode::offline the frames
/// are done a chunk at a time (ChunkDetector), and nothing of what is said below about windows holds.
///
///   VideoPipeline pipeline(model, {});
///   while (auto frame = source->next())
///     for (const TrackedFrame& done : pipeline.feed(std::move(*frame))) show(done);
///   for (const TrackedFrame& done : pipeline.flush()) show(done);
///   pipeline.for_each_track(write);
class VideoPipeline {
 public:
  /// The model must outlive the pipeline. throws UsageError for impossible options.
  VideoPipeline(const Model& model, const PipelineOptions& options);
  /// With a network that serves other videos, too, and outlives the pipeline. Of the options only those of tracking and
  /// assembly count.
  VideoPipeline(const Network& network, const PipelineOptions& options);

  /// Takes the next frame and returns the frames that are done: with window 1 always this one, with window N all N of
  /// them at every N-th call; those of the window before with two in flight. throws InputError if the size differs from
  /// the frames before.
  [[nodiscard]] std::vector<TrackedFrame> feed(media::Frame frame);
  /// The frames that are not done yet.
  [[nodiscard]] std::vector<TrackedFrame> flush();
  /// The result of the whole video so far, after flush().
  void for_each_track(const std::function<void(const VideoTrack&)>& visit) const { assembler_.for_each_track(visit); }

  /// Sizes of the network input, of the frame in it, and of the masks; zeros before the first frame.
  ops::MaskSizes mask_sizes() const { return frames_->mask_sizes(); }

  /// Before the first frame. Keeps one window in flight.
  void observe_queries(QueryObserver observer);
  std::int64_t frames() const { return assembler_.frames(); }
  /// Of the graph that is replayed for every window; 0 where there is none.
  std::size_t graph_nodes() const { return frames_->graph_nodes(); }

 private:
  TrackedFrame track(media::Frame frame, const QueryFrame& queries);

  std::unique_ptr<Network> own_;
  TrackAssembler assembler_;
  std::unique_ptr<QuerySource> frames_;
  QueryObserver observer_;
};

}  // namespace visage::pipeline
