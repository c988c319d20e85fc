#include "visage/pipeline/frame_detector.h"

#include "ops/shape/views.h"
#include "tensor/recorder.h"
#include "tensor/replay.h"
#include "tensor/stage_timer.h"
#include "tensor/staging.h"

#include <algorithm>
#include <optional>
#include <span>

namespace visage::pipeline {

void check_plan(Plan plan, Precision precision) {
  check<UsageError>(plan == Plan::fast || precision == Precision::f32,
                    "the plain plan runs in f32 only; use the fast plan for ", name_of(precision));
}

std::unique_ptr<Detector> make_detector(const Model& model, Plan plan, Precision precision) {
  check<UsageError>(model.mode() == Mode::online,
                    "the model is for clips (model.detector.mode = \"offline\"); this needs one that "
                    "finds objects frame by frame and has embeddings of them");
  check_plan(plan, precision);
  return plan == Plan::fast ? make_fast_detector(model, precision) : make_plain_detector(model);
}

/// What the work on a window leaves on the device.
struct FrameDetector::Outputs {
  Detection detection;
  std::vector<ops::MaskBatch> masks;                     // of every frame
  std::vector<tracking::DeviceTracker::Queued> tracked;  // of every frame; empty without a tracker

  /// What the host wants to know: for every frame the same tensors.
  std::vector<Tensor> results() const {
    std::vector<Tensor> all;
    for (std::size_t i = 0; i < masks.size(); ++i) {
      all.insert(all.end(), {ops::select(detection.class_logits, static_cast<std::int64_t>(i)), masks[i].bits,
                             masks[i].quality_sum, masks[i].quality_count, masks[i].seen});
      if (!tracked.empty()) all.insert(all.end(), {tracked[i].assignment, tracked[i].outcome});
    }
    return all;
  }

  /// Frame i with its results from the host.
  QueryFrame frame(std::size_t i, std::span<const Tensor> results, const ops::ImageSize& size) const {
    QueryFrame frame = query_frame(detection, static_cast<std::int64_t>(i));
    const std::span mine = results.subspan(i * results.size() / masks.size());
    frame.host_logits = mine[0];
    set_masks(frame, ops::query_masks({mine[1], mine[2], mine[3], mine[4]}), size);
    if (!tracked.empty()) frame.tracked = {mine[5], mine[6]};
    return frame;
  }
};

class FrameDetector::Program {
 public:
  Program(Detector& detector, const DetectionOptions& options, media::Size size)
      : detector_(detector), sizes_(pipeline::mask_sizes(size, options.shortest_edge, options.longest_edge)) {
    const Device device = detector.device();
    plan_ = ops::plan_input(sizes_.output, sizes_.image, sizes_.padded, device);
    pixels_ = Tensor::empty({options.window, size.height, size.width, 3}, DType::u8, device);
    input_ = Tensor::empty({options.window, sizes_.padded.height, sizes_.padded.width, 3}, DType::f32, device);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const Tensor& pixels() const { return pixels_; }
  std::size_t nodes() const { return replay_ ? replay_->node_count() : 0; }

  /// Queues the work on the first frames of the pixels.
  Outputs run(std::int64_t frames, tracking::DeviceTracker* tracker) {
    const bool graphs = detector_.device().type == DeviceType::cuda && detector_.replayable();
    if (!graphs || frames != pixels_.size(0) || Recorder::current()) return work(frames, tracker);
    if (!warm_ || forgotten_ != detector_.forgotten_tables()) {  // sets up libraries and tables, which a capture cannot
      replay_.reset();
      captured_ = {};
      Outputs outputs = work(frames, tracker);
      warm_ = true;
      forgotten_ = detector_.forgotten_tables();
      return outputs;
    }
    if (!replay_) replay_.emplace(detector_.device(), [=, this] { captured_ = work(frames, tracker); });
    const StageTimer timer("graph");
    replay_->run();
    return captured_;
  }

 private:
  Outputs work(std::int64_t frames, tracking::DeviceTracker* tracker) const {
    const Tensor input = ops::narrow(input_, 0, 0, frames);
    {
      const StageTimer timer("preprocess");
      for (std::int64_t i = 0; i < frames; ++i)
        ops::network_input(ops::select(pixels_, i), plan_, ops::select(input, i));
    }
    Outputs out{.detection = detector_.detect(input, nullptr), .masks = {}, .tracked = {}};
    for (std::int64_t i = 0; i < frames; ++i) {
      const QueryFrame frame = query_frame(out.detection, i);
      {
        const StageTimer timer("masks");
        out.masks.push_back(ops::mask_batch(frame.mask_logits, sizes_));
      }
      const StageTimer timer("tracker");
      if (tracker) out.tracked.push_back(tracker->queue(frame.queries));
    }
    return out;
  }

  Detector& detector_;
  ops::MaskSizes sizes_;
  ops::InputPlan plan_;
  Tensor pixels_;  // u8 [window, H, W, 3]
  Tensor input_;   // f32 [window, padded H, padded W, 3]
  Outputs captured_;
  std::optional<Replay> replay_;
  std::int64_t forgotten_ = 0;
  bool warm_ = false;
};

struct FrameDetector::Flight {
  Upload pixels;
  Download results;
  std::vector<media::Frame> frames;
  Outputs outputs;

  explicit Flight(const Tensor& pixels_on_device)
      : pixels(pixels_on_device.size(), DType::u8, pixels_on_device.device()), results(pixels_on_device.device()) {}
};

FrameDetector::FrameDetector(Detector& detector, const DetectionOptions& options, tracking::DeviceTracker* tracker)
    : detector_(detector), options_(options), tracker_(tracker) {
  check<UsageError>(options.window >= 1, "the window must hold at least one frame; got ", options.window);
  check<UsageError>(options.in_flight >= 1, "at least one window must be in flight; got ", options.in_flight);
  check_edges(options.shortest_edge, options.longest_edge);
}

FrameDetector::~FrameDetector() = default;

void FrameDetector::keep_tensors() {
  check(flying_.empty(), "the windows in flight cannot be changed while some are");
  options_.in_flight = 1;
}

ops::MaskSizes FrameDetector::mask_sizes() const {
  return size_ == media::Size{} ? ops::MaskSizes{}
                                : pipeline::mask_sizes(size_, options_.shortest_edge, options_.longest_edge);
}

void FrameDetector::feed(media::Frame frame, const FrameVisitor& visit) {
  const media::Size size = frame.image.size();
  if (in_video_) check_same_size(frame, size_);
  if (size != size_) landed_.clear();
  size_ = size;
  in_video_ = true;
  waiting_.push_back(std::move(frame));
  if (static_cast<int>(waiting_.size()) == options_.window) submit();
  while (static_cast<int>(flying_.size()) >= options_.in_flight) collect(visit);
}

void FrameDetector::flush(const FrameVisitor& visit) {
  if (!waiting_.empty()) submit();
  while (!flying_.empty()) collect(visit);
  in_video_ = false;
}

FrameDetector::Program& FrameDetector::program() {
  const std::pair key{size_.width, size_.height};
  if (!programs_.contains(key) && programs_.size() >= kMostPlannedSizes) programs_.clear();
  std::unique_ptr<Program>& program = programs_[key];
  if (!program) program = std::make_unique<Program>(detector_, options_, size_);
  return *program;
}

void FrameDetector::submit() {
  Program& work = program();
  if (landed_.empty()) landed_.push_back(std::make_unique<Flight>(work.pixels()));
  std::unique_ptr<Flight> flight = std::move(landed_.back());
  landed_.pop_back();
  flight->frames.clear();
  flight->frames.swap(waiting_);
  auto* to = flight->pixels.host().data<std::uint8_t>();
  for (const media::Frame& frame : flight->frames) to = std::ranges::copy(frame.image.rgb, to).out;
  flight->pixels.send();
  flight->pixels.deliver(work.pixels());
  flight->outputs = work.run(std::ssize(flight->frames), tracker_);
  graph_nodes_ = work.nodes();
  flight->results.start(flight->outputs.results());
  flying_.push_back(std::move(flight));
}

void FrameDetector::collect(const FrameVisitor& visit) {
  std::unique_ptr<Flight> flight = std::move(flying_.front());
  flying_.pop_front();
  const std::vector<Tensor>& results = [&]() -> const std::vector<Tensor>& {
    const StageTimer timer("wait");
    return flight->results.wait();
  }();
  for (std::size_t i = 0; i < flight->frames.size(); ++i)
    visit(std::move(flight->frames[i]), flight->outputs.frame(i, results, mask_sizes().output));
  landed_.push_back(std::move(flight));
}

}  // namespace visage::pipeline
