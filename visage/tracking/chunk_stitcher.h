#pragma once
#include "visage/tracking/tracker.h"

#include <span>
#include <vector>

namespace visage::tracking {

/// The masks of all queries in a frame.
using FrameMasks = std::vector<ops::QueryMask>;

/// Makes tracks of a video from the queries of its chunks, in each of which a query is an object already; a chunk
/// begins with the last frames of the one before. The queries of a chunk are given to the tracks so that the sum of
///   (s_a + s_b) / 2 * (IoU(a, b) + 0.1 cos(a, b))
/// over the pairs of a query a before and b now is the greatest. s is the largest class probability, so that queries
/// without an object do not outvote those that have one. IoU is of the masks over the shared frames, all pixels of all
/// frames together: it decides wherever an object is to be seen there. The cosine of the queries, which never outweighs
/// an IoU above 0.2, finds those again that are hidden. There are as many tracks as queries, as with the tracker of
/// VISAGE.
class ChunkStitcher {
 public:
  /// The query of each track in the next chunk. Of `queries` it looks at logits and decoder; `shared` are the masks of
  /// its first frames, as many as end_chunk() was given. In the first chunk of a video track q is query q.
  /// throws ShapeError for another number of queries or frames, Error for queries that are not finite.
  [[nodiscard]] const std::vector<int>& begin_chunk(const FrameQueries& queries, std::span<const FrameMasks> shared);
  /// Keeps the masks of the last frames of the chunk, which the next one begins with; there may be none.
  void end_chunk(std::vector<FrameMasks> last);
  /// Forgets everything: the next chunk is the first of a video.
  void reset() { *this = {}; }

 private:
  std::vector<int> query_of_track_;
  Tensor queries_;             // of the chunk before, at length 1
  std::vector<float> scores_;  // of the chunk before
  std::vector<FrameMasks> last_;
  std::int64_t chunk_ = 0;
};

}  // namespace visage::tracking
