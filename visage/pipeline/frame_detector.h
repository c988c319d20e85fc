#pragma once
#include "visage/model/model.h"
#include "visage/pipeline/preprocess.h"
#include "visage/pipeline/query_source.h"

#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace visage::pipeline {

enum class Plan { fast, plain };

/// throws UsageError where the precision does not go with the plan.
void check_plan(Plan plan, Precision precision);

/// The network as a plan of this kind. throws UsageError for a model of Mode::offline, and where the precision does not
/// go with the plan or the machine.
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

/// The detector on the frames of videos: resize, normalise, detect, masks, and the step of a tracker that can be queued
/// behind them.
///
/// On a GPU all this work on a window of frames of one size is captured once as a graph (tensor/replay.h) and then
/// replayed; pixels and results are copied beside it (tensor/staging.h). From the second replay on the host neither
/// waits for the device, but for the results, nor asks it for memory. Incomplete windows, and everything while a
/// profile is recorded (tensor/recorder.h), run op by op.
class FrameDetector final : public QuerySource {
 public:
  /// The detector must outlive this object; so must the tracker, if there is one, which is then stepped for every
  /// frame. throws UsageError for impossible options.
  FrameDetector(Detector& detector, const DetectionOptions& options, tracking::DeviceTracker* tracker = nullptr);
  ~FrameDetector() override;
  FrameDetector(const FrameDetector&) = delete;
  FrameDetector& operator=(const FrameDetector&) = delete;

  /// With window 1 and one window in flight visits this frame.
  void feed(media::Frame frame, const FrameVisitor& visit) override;
  void flush(const FrameVisitor& visit) override;
  /// Keeps one window in flight.
  void keep_tensors() override;

  ops::MaskSizes mask_sizes() const override;
  std::size_t graph_nodes() const override { return graph_nodes_; }

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
