#include "visage/pipeline/track_assembler.h"

#include "ops/shape/views.h"
#include "tensor/cpu/parallel.h"
#include "tensor/stage_timer.h"
#include "visage/annotation/rle.h"

#include <algorithm>

namespace visage::pipeline {
namespace {

Tensor item_of(const Tensor& batch, std::int64_t item) {
  const Tensor one = ops::narrow(batch, 0, item, 1);
  Dims size;
  for (int i = 1; i < batch.rank(); ++i) size.append(batch.size(i));
  return ops::reshape(one, size);
}

// Compressed run-length strings of the masks of all tracks; `query_of_track` is -1 where none is wanted. Empty for an
// empty mask.
std::vector<std::string> encode(const std::vector<ops::QueryMask>& masks, const std::vector<int>& query_of_track,
                                const ops::ImageSize& size) {
  std::vector<std::string> encoded(query_of_track.size());
  cpu::parallel_for(static_cast<std::int64_t>(encoded.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t track = begin; track < end; ++track) {
      const int query = query_of_track[track];
      if (query < 0 || masks[query].bits.empty()) continue;
      const annotation::Rle rle = annotation::encode_columns(masks[query].bits.data(), size.height, size.width);
      if (rle.counts.size() > 1) encoded[track] = annotation::to_string(rle);
    }
  });
  return encoded;
}

bool any(const std::vector<std::uint64_t>& bits) {
  return std::any_of(bits.begin(), bits.end(), [](std::uint64_t word) { return word != 0; });
}

}  // namespace

TrackAssembler::TrackAssembler(const AssemblyOptions& options, std::unique_ptr<tracking::Tracker> tracker)
    : options_(options), tracker_(std::move(tracker)) {
  check<UsageError>(options.top_k >= 0, "top_k must not be negative; got ", options.top_k);
  check<UsageError>(options.min_score >= 0 && options.min_score <= 1, "min_score must be 0 to 1; got ",
                    options.min_score);
}

void TrackAssembler::start(const Detection& detection) {
  const int tracks = static_cast<int>(detection.class_logits.size(1));
  classes_ = static_cast<int>(detection.class_logits.size(2)) - 1;
  scores_.emplace(tracks, classes_);
  spool_ = std::make_unique<MaskSpool>(tracks);
  emitted_.resize(tracks);
}

FrameResult TrackAssembler::add(const Detection& detection, std::int64_t item, const ops::MaskSizes& sizes) {
  if (!scores_) start(detection);
  const tracking::FrameQueries queries{item_of(detection.class_logits, item), item_of(detection.object, item),
                                       item_of(detection.appearance, item)};
  {
    const StageTimer timer("tracker");
    assignment_ = tracker_->step(queries).query_of_track;
    scores_->add_logits(queries.logits, assignment_);
  }
  std::vector<ops::QueryMask> masks;
  {
    const StageTimer timer("masks");
    masks = ops::mask_output(item_of(detection.mask_logits, item), sizes);
    for (std::size_t track = 0; track < assignment_.size(); ++track)
      if (const int query = assignment_[track]; query >= 0)
        scores_->add_quality(static_cast<int>(track), masks[query].quality_sum, masks[query].quality_count);
  }
  const std::vector<ScoredTrack> listed = list_tracks(masks);
  {
    const StageTimer timer("run lengths");
    std::vector<int> wanted = assignment_;
    if (options_.scores == ScoreMode::online) {  // what was not said at this frame is not part of the result
      wanted.assign(assignment_.size(), -1);
      for (const ScoredTrack& scored : listed) wanted[scored.track] = assignment_[scored.track];
    }
    spool_->append(encode(masks, wanted, sizes.output));
  }
  FrameResult result{spool_->frames() - 1, sizes.output, {}};
  for (const ScoredTrack& scored : listed) {
    Emitted& said = emitted_[scored.track];
    said.score_sum += scored.score;
    said.label = scored.label;
    ++said.frames;
    ops::QueryMask& mask = masks[assignment_[scored.track]];
    result.objects.push_back({scored.track, scored.label, scored.score, std::move(mask.bits)});
  }
  return result;
}

std::vector<ScoredTrack> TrackAssembler::list_tracks(const std::vector<ops::QueryMask>& masks) const {
  std::vector<ScoredTrack> tracks;
  for (const ScoredTrack& scored : scores_->best_per_track()) {
    const int query = assignment_[scored.track];
    if (scored.score >= options_.min_score && query >= 0 && any(masks[query].bits)) tracks.push_back(scored);
  }
  return tracks;
}

void TrackAssembler::for_each_track(const std::function<void(const VideoTrack&)>& visit) const {
  if (!scores_) return;
  const auto emit = [&](const ScoredTrack& scored) {
    visit({scored, [this, track = scored.track](std::int64_t frame) { return spool_->read(frame, track); }});
  };
  if (options_.scores == ScoreMode::video) {
    for (const ScoredTrack& scored : scores_->top(top_k())) emit(scored);
    return;
  }
  std::vector<ScoredTrack> tracks;
  for (std::size_t track = 0; track < emitted_.size(); ++track) {
    const Emitted& said = emitted_[track];
    if (said.frames > 0) tracks.push_back({static_cast<int>(track), said.label, said.score_sum / said.frames});
  }
  std::stable_sort(tracks.begin(), tracks.end(),
                   [](const ScoredTrack& a, const ScoredTrack& b) { return a.score > b.score; });
  for (const ScoredTrack& scored : tracks) emit(scored);
}

}  // namespace visage::pipeline
