#include "visage/pipeline/track_assembler.h"

#include "tensor/stage_timer.h"

#include <algorithm>

namespace visage::pipeline {

TrackAssembler::TrackAssembler(const AssemblyOptions& options, std::unique_ptr<tracking::Tracker> tracker)
    : options_(options), tracker_(std::move(tracker)) {
  check<UsageError>(options.top_k >= 0, "top_k must not be negative; got ", options.top_k);
  check<UsageError>(options.min_score >= 0 && options.min_score <= 1, "min_score must be 0 to 1; got ",
                    options.min_score);
}

TrackAssembler::TrackAssembler(const AssemblyOptions& options, const TrackingConfig& tracking)
    : TrackAssembler(options, tracking::make_tracker(tracking)) {}

tracking::FrameTracks TrackAssembler::tracks_of(const QueryFrame& frame) {
  if (frame.tracks) return *frame.tracks;
  if (frame.tracked) return device_tracker()->read(*frame.tracked);
  tracking::FrameQueries queries = frame.queries;
  queries.masks = frame.masks;
  return tracker_->step(queries);
}

FrameResult TrackAssembler::add(const QueryFrame& frame) {
  const StageTimer timer("tracker");
  if (!scores_) {
    classes_ = static_cast<int>(frame.queries.logits.size(1)) - 1;
    // The queries of clips are scored as in the released code of Mask2Former-VIS.
    quality_ = frame.tracks ? MaskQuality::is_ignored : MaskQuality::counts;
    scores_.emplace(classes_, quality_);
    if (options_.result == VideoResult::kept) spool_ = std::make_unique<MaskSpool>();
  }
  const tracking::FrameTracks tracks = tracks_of(frame);
  assignment_ = tracks.query_of_track;
  emitted_.resize(assignment_.size());
  scores_->add_logits(frame.host_logits, assignment_);
  for (std::size_t track = 0; track < assignment_.size(); ++track)
    if (const int query = assignment_[track]; query >= 0)
      scores_->add_quality(static_cast<int>(track), frame.masks[query].quality_sum, frame.masks[query].quality_count);
  for (const int track : tracks.noise) scores_->remove(track);
  const std::vector<ScoredTrack> listed = list_tracks(frame);
  if (spool_) spool_->append(kept_masks(frame, listed));
  FrameResult result{frames_++, frame.size, {}};
  for (const ScoredTrack& scored : listed) {
    Emitted& said = emitted_[scored.track];
    said.score_sum += scored.score;
    said.label = scored.label;
    ++said.frames;
    result.objects.push_back({scored.track, scored.label, scored.score, frame.masks[assignment_[scored.track]].bits});
  }
  return result;
}

int TrackAssembler::top_k() const {
  constexpr int kRowsOfClips = 10;
  if (options_.top_k > 0) return options_.top_k;
  return quality_ == MaskQuality::is_ignored ? kRowsOfClips : classes_;
}

std::vector<ScoredTrack> TrackAssembler::list_tracks(const QueryFrame& frame) const {
  std::vector<int> visible;
  for (std::size_t track = 0; track < assignment_.size(); ++track)
    if (const int query = assignment_[track]; query >= 0 && !frame.run_lengths[query].empty())
      visible.push_back(static_cast<int>(track));
  std::vector<ScoredTrack> tracks = scores_->best_class_of(visible);
  std::erase_if(tracks, [&](const ScoredTrack& scored) { return scored.score < options_.min_score; });
  return tracks;
}

std::vector<MaskSpool::Entry> TrackAssembler::kept_masks(const QueryFrame& frame,
                                                         const std::vector<ScoredTrack>& listed) const {
  std::vector<MaskSpool::Entry> masks;
  const auto keep = [&](int track) {
    const int query = assignment_[track];
    if (query >= 0 && !frame.run_lengths[query].empty()) masks.push_back({track, frame.run_lengths[query]});
  };
  if (options_.scores == ScoreMode::online) {  // what was not said at this frame is not part of the result
    for (const ScoredTrack& scored : listed) keep(scored.track);
    std::ranges::sort(masks, {}, &MaskSpool::Entry::track);
  } else {
    for (std::size_t track = 0; track < assignment_.size(); ++track) keep(static_cast<int>(track));
  }
  return masks;
}

void TrackAssembler::for_each_track(const std::function<void(const VideoTrack&)>& visit) const {
  check(options_.result == VideoResult::kept, "the masks of the video were not kept, so it has no result");
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
