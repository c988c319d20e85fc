#pragma once
#include "visage/annotation/rle.h"
#include "visage/pipeline/query_frame.h"

#include <optional>
#include <span>
#include <vector>

namespace visage::experiments {

/// The queries of one frame and the annotated objects they show.
struct Sighting {
  tracking::FrameQueries queries;    // without masks
  std::vector<int> object_of_query;  // the object that the query's mask overlaps most, with an IoU of at least 0.5; -1
  std::vector<int> query_of_object;  // of the queries that show the object, that with the best class score; -1
};

/// `truth`: the mask of every object in this frame, nothing where it is absent. throws InputError for masks of another
/// size than the frame's.
[[nodiscard]] Sighting sight(const pipeline::QueryFrame& frame, std::span<const std::optional<annotation::Rle>> truth);

/// What a tracker made of the objects that two frames show.
struct FoundAgain {
  std::int64_t objects = 0;    // seen in both frames
  std::int64_t kept = 0;       // their track goes on with a query that shows them
  std::int64_t exchanged = 0;  // their track goes on with a query that shows another object

  FoundAgain& operator+=(const FoundAgain& other);
};

/// Matches the queries of two frames as the tracker does, with an empty memory before the first. Frames that share less
/// than two objects count nothing: there is nothing to confuse.
[[nodiscard]] FoundAgain find_again(const Sighting& before, const Sighting& after, double alpha);

}  // namespace visage::experiments
