#include "tensor/recorder.h"
#include "tensor/replay.h"
#include "tensor/stage_timer.h"
#include "tensor/transfer.h"
#include "visage/model/model.h"

#include <map>
#include <optional>
#include <utility>

namespace visage {
namespace {

/// The inner detector with its work on every size of frames captured as a graph.
class ReplayedDetector final : public Detector {
 public:
  explicit ReplayedDetector(std::unique_ptr<Detector> detector) : detector_(std::move(detector)) {}

  Device device() const override { return detector_->device(); }
  std::size_t nodes_per_run() const override { return nodes_; }

  Detection detect(const Tensor& images, DetectionTrace* trace) override {
    auto& captured = captured_for(images);
    // Who traces or records wants to see the ops one by one. The last window of a video may be shorter than the others:
    // that is not worth a graph and its memory.
    if (trace || Recorder::current() || (captured && captured->input.size() != images.size()))
      return detector_->detect(images, trace);
    if (!captured) captured = std::make_unique<Captured>(*detector_, images);
    const StageTimer timer("network");
    copy_into(captured->input, images);
    captured->replay->run();
    nodes_ = captured->replay->node_count();
    return captured->output;
  }

 private:
  struct Captured {
    Tensor input;
    Detection output;
    std::optional<Replay> replay;

    Captured(Detector& detector, const Tensor& images)
        : input(Tensor::zeros(images.size(), images.dtype(), images.device())) {
      static_cast<void>(detector.detect(input, nullptr));  // sets up libraries, tables and rounded weights
      replay.emplace(images.device(), [this, &detector] { output = detector.detect(input, nullptr); });
    }
  };

  // A plan forgets the tables of its sizes when there are too many, and graphs read those tables: both forget together.
  std::unique_ptr<Captured>& captured_for(const Tensor& images) {
    const std::pair size{images.size(1), images.size(2)};
    if (!sizes_.contains(size) && sizes_.size() >= kMostPlannedSizes) sizes_.clear();
    return sizes_[size];
  }

  std::unique_ptr<Detector> detector_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::unique_ptr<Captured>> sizes_;
  std::size_t nodes_ = 0;
};

}  // namespace

std::unique_ptr<Detector> replayed(std::unique_ptr<Detector> detector) {
  return std::make_unique<ReplayedDetector>(std::move(detector));
}

}  // namespace visage
