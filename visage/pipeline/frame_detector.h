#pragma once
#include "visage/media/frame_source.h"
#include "visage/model/model.h"
#include "visage/pipeline/preprocess.h"
#include "visage/pipeline/query_frame.h"

#include <functional>
#include <memory>
#include <vector>

namespace visage::pipeline {

enum class Plan { fast, plain };

/// The network as a plan of this kind. throws UsageError where the precision does not go with the plan or the machine.
[[nodiscard]] std::unique_ptr<Detector> make_detector(const Model& model, Plan plan, Precision precision);

struct DetectionOptions {
  int shortest_edge = 480;  // of the network input
  int longest_edge = 1333;
  int window = 1;  // frames detected together: more throughput on wide machines, more latency and memory
};

/// A frame and what the detector says about it.
using FrameVisitor = std::function<void(media::Frame frame, const QueryFrame& queries)>;

/// The detector on the frames of a video, which all have one size: resize, normalise, detect. What is done with the
/// queries of a frame is up to the visitor, so that several trackers can share one pass.
class FrameDetector {
 public:
  /// The detector must outlive this object; one detector serves any number of videos, one after the other, and packs
  /// its weights for the first. throws UsageError for impossible options.
  FrameDetector(Detector& detector, const DetectionOptions& options);

  /// Takes the next frame, and visits those that are done, in order: with window 1 this one, with window N all N of
  /// them at every N-th call. throws InputError if the size differs from the frames before.
  void feed(media::Frame frame, const FrameVisitor& visit);
  /// The frames of an incomplete window.
  void flush(const FrameVisitor& visit);

  /// Sizes of the network input, of the frame in it, and of the masks; zeros before the first frame.
  ops::MaskSizes mask_sizes() const;

 private:
  Tensor network_input();

  Detector& detector_;
  DetectionOptions options_;
  std::vector<media::Frame> waiting_;
  media::Size size_;
  ops::InputPlan plan_;  // from the first network input on
};

}  // namespace visage::pipeline
