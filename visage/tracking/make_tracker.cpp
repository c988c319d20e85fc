#include "tensor/error.h"
#include "visage/tracking/ctvis_tracker.h"
#include "visage/tracking/idol_tracker.h"
#include "visage/tracking/minvis_tracker.h"
#include "visage/tracking/qdtrack_tracker.h"
#include "visage/tracking/visage_tracker.h"

namespace visage::tracking {

std::unique_ptr<Tracker> make_tracker(const TrackingConfig& config) {
  check<UsageError>(config.alpha >= 0 && config.alpha <= 1, "tracker: alpha must be from 0 to 1; got ", config.alpha);
  switch (config.tracker) {
    case TrackerKind::minvis: return std::make_unique<MinvisTracker>(config.minvis, config.alpha);
    case TrackerKind::idol: return std::make_unique<IdolTracker>(config.idol, config.alpha);
    case TrackerKind::ctvis: return std::make_unique<CtvisTracker>(config.ctvis, config.alpha);
    case TrackerKind::qdtrack: return std::make_unique<QdtrackTracker>(config.qdtrack, config.alpha);
    case TrackerKind::visage: return std::make_unique<VisageTracker>(config);
  }
  fail<UsageError>("tracker: unknown kind ", static_cast<int>(config.tracker));
}

}  // namespace visage::tracking
