#pragma once
#include "visage/media/frame_source.h"
#include "visage/model/model.h"
#include "visage/pipeline/preprocess.h"
#include "visage/pipeline/query_frame.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace visage::pipeline {

enum class Plan { fast, plain };

/// The network as a plan of this kind. throws UsageError where the precision does not go with the plan or the machine.
[[nodiscard]] std::unique_ptr<Detector> make_detector(const Model& model, Plan plan, Precision precision);

struct DetectionOptions {
  int shortest_edge = 480;  // of the network input
  int longest_edge = 1333;
  int window = 1;  // frames detected together: more throughput on wide machines, more latency and memory
  /// Windows on their way at once. With 2 a GPU works on one while the host makes masks of the one before and reads the
  /// next, and frames are visited a window later. Tensors of a visited frame on the device are then those of a later
  /// one: for visitors that look at nothing but what is on the host.
  int in_flight = 1;
};

/// A frame and what the detector says about it.
using FrameVisitor = std::function<void(media::Frame frame, const QueryFrame& queries)>;

/// The detector on the frames of videos: resize, normalise, detect, masks, and the step of a tracker that can be queued
/// behind them. What is done with the queries of a frame is up to the visitor, so that several trackers can share one
/// pass.
///
/// On a GPU all this work on a window of frames of one size is captured once as a graph (tensor/replay.h) and then
/// replayed; pixels and results are copied beside it (tensor/staging.h). From the second replay on the host neither
/// waits for the device, but for the results, nor asks it for memory. Incomplete windows, and everything while a
/// profile is recorded (tensor/recorder.h), run op by op.
class FrameDetector {
 public:
  /// The detector must outlive this object; so must the tracker, if there is one, which is then stepped for every
  /// frame. throws UsageError for impossible options.
  FrameDetector(Detector& detector, const DetectionOptions& options, tracking::DeviceTracker* tracker = nullptr);
  ~FrameDetector();
  FrameDetector(const FrameDetector&) = delete;
  FrameDetector& operator=(const FrameDetector&) = delete;

  /// Takes the next frame, and visits those that are done, in order: with window 1 and one window in flight this one.
  /// throws InputError if the size differs from the frames before of the same video.
  void feed(media::Frame frame, const FrameVisitor& visit);
  /// Visits all frames that were fed: the end of a video. The next may have frames of another size.
  void flush(const FrameVisitor& visit);
  /// Changes DetectionOptions::in_flight. Nothing is on its way.
  void set_in_flight(int windows);

  /// Sizes of the network input, of the frame in it, and of the masks, of the current video or the last; zeros before
  /// the first frame.
  ops::MaskSizes mask_sizes() const;
  /// Of the graph for frames of the last size; 0 where there is none yet.
  std::size_t graph_nodes() const { return graph_nodes_; }

 private:
  struct Outputs;
  class Program;  // the work on frames of one size
  struct Flight;  // a window on its way

  Program& program();
  void submit();
  void collect(const FrameVisitor& visit);

  Detector& detector_;
  DetectionOptions options_;
  tracking::DeviceTracker* tracker_;
  media::Size size_;
  bool in_video_ = false;
  std::vector<media::Frame> waiting_;
  std::map<std::pair<int, int>, std::unique_ptr<Program>> programs_;
  std::deque<std::unique_ptr<Flight>> flying_;   // oldest first
  std::vector<std::unique_ptr<Flight>> landed_;  // kept for their memory
  std::size_t graph_nodes_ = 0;
};

}  // namespace visage::pipeline
