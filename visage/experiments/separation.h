#pragma once
#include <cstdint>
#include <vector>

namespace visage::experiments {

/// Embeddings of objects of several videos, one row for every frame an object was seen in.
struct ObjectRows {
  std::int64_t depth = 0;
  std::vector<float> values;  // [rows, depth]
  std::vector<int> object;    // a row: which object; no two videos share one
  std::vector<int> video;

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(object.size()); }
  /// Adds a row, scaled to length 1.
  void add(const float* row, int object_index, int video_index);
};

/// How well the rows keep the objects of a video apart, by cosine.
struct Separation {
  /// Mean of (b - a) / max(a, b), where a is the mean distance of a row to the other rows of its object and b that to
  /// the nearest other object of its video (Rousseeuw, Silhouettes, 1987): 1 apart, 0 as good as mixed, < 0 confused.
  double silhouette = 0;
  /// How often a row is more similar to another row of its object than to one of another object of its video; ties
  /// count half. 1 always, 0.5 chance.
  double ordered = 0.5;
  std::int64_t rows = 0;  // that could be judged: with another row of their object, and another object in the video
};
[[nodiscard]] Separation separation_of(const ObjectRows& rows);

}  // namespace visage::experiments
