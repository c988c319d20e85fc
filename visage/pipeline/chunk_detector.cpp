#include "visage/pipeline/chunk_detector.h"

#include "ops/shape/views.h"
#include "tensor/stage_timer.h"
#include "tensor/transfer.h"
#include "visage/pipeline/preprocess.h"

#include <algorithm>

namespace visage::pipeline {

ChunkDetector::ChunkDetector(ClipDetector& detector, const ChunkOptions& options)
    : detector_(detector), options_(options) {
  check_edges(options.shortest_edge, options.longest_edge);
  check<UsageError>(options.window >= 1, "the window must hold at least one frame; got ", options.window);
  check<UsageError>(options.frames >= 1 && options.overlap >= 0 && 2 * options.overlap <= options.frames,
                    "a chunk must have a frame and share at most half of them with the next; got ", options.frames,
                    " frames, ", options.overlap, " shared");
}

ops::MaskSizes ChunkDetector::mask_sizes() const {
  return size_ == media::Size{} ? ops::MaskSizes{}
                                : pipeline::mask_sizes(size_, options_.shortest_edge, options_.longest_edge);
}

void ChunkDetector::feed(media::Frame frame, const FrameVisitor& visit) {
  const media::Size size = frame.image.size();
  if (in_video_) check_same_size(frame, size_);
  if (size != size_) maps_.clear();
  size_ = size;
  in_video_ = true;
  frames_.push_back(std::move(frame));
  if (shared_ + std::ssize(frames_) - mapped_ == options_.window || full()) extract();
  if (full()) detect(visit);
}

void ChunkDetector::flush(const FrameVisitor& visit) {
  if (!frames_.empty()) {
    extract();
    detect(visit);
  }
  stitcher_.reset();
  mapped_ = shared_ = 0;
  in_video_ = false;
}

void ChunkDetector::extract() {
  const std::int64_t count = shared_ + std::ssize(frames_) - mapped_;
  if (count == 0) return;
  const Device device = detector_.device();
  const ops::MaskSizes sizes = mask_sizes();
  const ops::InputPlan plan = ops::plan_input(sizes.output, sizes.image, sizes.padded, device);
  const Tensor input = Tensor::empty({count, sizes.padded.height, sizes.padded.width, 3}, DType::f32, device);
  for (std::int64_t i = 0; i < count; ++i) write_network_input(frames_[mapped_ - shared_ + i].image, plan, input, i);
  const std::vector<Tensor> maps = detector_.features(input);
  reserve(maps, mapped_ + count);
  for (std::size_t i = 0; i < maps.size(); ++i) copy_into(ops::narrow(maps_[i], 0, mapped_, count), maps[i]);
  mapped_ += count;
}

void ChunkDetector::reserve(const std::vector<Tensor>& like, std::int64_t frames) {
  const std::int64_t room = maps_.empty() ? 0 : maps_[0].size(0);
  if (frames <= room) return;
  std::vector<Tensor> larger;
  for (std::size_t i = 0; i < like.size(); ++i) {
    Dims size = like[i].size();
    size[0] = std::min<std::int64_t>(std::max(frames, 2 * room), options_.frames);
    larger.push_back(Tensor::empty(size, like[i].dtype(), like[i].device()));
    if (mapped_ > 0) copy_into(ops::narrow(larger[i], 0, 0, mapped_), ops::narrow(maps_[i], 0, 0, mapped_));
  }
  maps_ = std::move(larger);
}

std::vector<ops::QueryMask> ChunkDetector::masks(const Tensor& logits) const {
  const StageTimer timer("masks");
  return ops::query_masks(to_host(ops::mask_batch(logits, mask_sizes())));
}

void ChunkDetector::detect(const FrameVisitor& visit) {
  std::vector<Tensor> clip;
  for (const Tensor& map : maps_) clip.push_back(ops::narrow(map, 0, 0, mapped_));
  const ClipDetection found = detector_.detect(clip, nullptr);
  QueryFrame common{.queries = {.logits = ops::select(found.class_logits, 0),
                                .object = {},
                                .appearance = {},
                                .decoder = ops::select(found.decoder, 0)}};
  common.host_logits = to_device(common.queries.logits, {});
  std::vector<tracking::FrameMasks> shared;
  for (std::int64_t t = 0; t < shared_; ++t) shared.push_back(masks(ops::select(found.mask_logits, t)));
  {
    const StageTimer timer("tracker");
    tracking::FrameQueries queries = common.queries;
    queries.logits = common.host_logits;  // they are here already
    common.tracks = tracking::FrameTracks{.query_of_track = stitcher_.begin_chunk(queries, shared)};
  }
  std::vector<tracking::FrameMasks> last;
  for (std::int64_t t = shared_; t < mapped_; ++t) {
    QueryFrame frame = common;
    frame.mask_logits = ops::select(found.mask_logits, t);
    set_masks(frame, masks(frame.mask_logits), mask_sizes().output);
    if (full() && t >= mapped_ - options_.overlap) last.push_back(frame.masks);
    visit(std::move(frames_[t - shared_]), frame);
  }
  const bool more = full();
  frames_.clear();
  if (more) keep(std::move(last));
}

void ChunkDetector::keep(std::vector<tracking::FrameMasks> last) {
  shared_ = std::ssize(last);
  for (const Tensor& map : maps_)
    for (std::int64_t i = 0; i < shared_; ++i)
      copy_into(ops::narrow(map, 0, i, 1), ops::narrow(map, 0, mapped_ - shared_ + i, 1));
  mapped_ = shared_;
  stitcher_.end_chunk(std::move(last));
}

}  // namespace visage::pipeline
