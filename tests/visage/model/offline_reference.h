#pragma once
// Mask2Former-VIS (Cheng et al. 2021) once more: its decoder and its losses in double and in plain loops, slow and
// without any identity, for tests to compare with.
#include "models/mask2former/criterion.h"
#include "nn/param_store.h"

#include <map>
#include <string>
#include <vector>

namespace visage::test {

using Numbers = std::vector<double>;

/// The maps of N * T frames; what the decoder reads.
struct ReferencePixels {
  explicit ReferencePixels(const PixelFeatures& pixel);
  std::vector<ops::LevelShape> shapes;
  std::int64_t images, length, height, width, channels;
  Numbers tokens;    // [images, length, channels]
  Numbers features;  // [images, height, width, channels]
};

struct ReferenceHead {
  Numbers query, classes, embedding;  // [N, Q, C], [N, Q, K + 1], [N, Q, C]
  Numbers masks;                      // [N, Q, T, h, w]
};

/// Double and float decide alike only where nothing hangs on a rounding error: `margin` is the least distance of what
/// was compared from the other answer.
struct ReferenceDecoding {
  std::vector<ReferenceHead> heads;
  Numbers embeddings;           // [N, Q, C]
  double margin = 1e300;        // of the logits of attention masks from 0
  int rows_that_see_all = 0;    // because they would see nothing in the whole clip
  int rows_blind_in_frame = 0;  // that see nothing in one frame, but something in another
};

class ReferenceDecoder {
 public:
  /// The parameters whose names begin with `prefix`.
  ReferenceDecoder(const nn::ParamStore& params, const std::string& prefix, const Mask2FormerConfig& config);
  ReferenceDecoding operator()(const ReferencePixels& pixels, std::int64_t frames) const;

  std::map<std::string, Numbers> weights;  // by the names after the prefix

 private:
  Numbers linear(const Numbers& x, const Numbers& weight, const Numbers& bias) const;
  Numbers linear(const Numbers& x, const std::string& name) const;
  Numbers norm(const Numbers& x, const std::string& name) const;
  /// One part (0 query, 1 key, 2 value) of the input projections.
  Numbers project(const Numbers& x, const std::string& name, int part) const;
  /// Queries, keys and values of one clip [rows, C]; blocked [queries, keys] or empty.
  Numbers attend(const Numbers& query, const Numbers& key, const Numbers& value, const std::string& name,
                 const std::vector<bool>& blocked) const;
  Numbers with_query_embed(const Numbers& x) const;
  ReferenceHead predict(const Numbers& x, const ReferencePixels& pixels, std::int64_t clip, std::int64_t frames) const;
  void decode_clip(const ReferencePixels& pixels, std::int64_t clip, std::int64_t frames, ReferenceDecoding& out) const;
  std::vector<bool> blocked_keys(const Numbers& masks, const ReferencePixels& pixels, int level, std::int64_t frames,
                                 ReferenceDecoding& out) const;
  Mask2FormerConfig config_;
};

/// The instances of a clip.
struct ReferenceClip {
  std::vector<std::int64_t> labels;
  Numbers masks;  // [instances, T, height, width]
  std::int64_t height, width;
};

struct ReferenceLosses {
  std::vector<Numbers> costs;                         // a head (last first, then 0, 1, ...): [N, Q, most instances]
  std::vector<std::vector<std::int64_t>> query_of;    // a head: of every instance of all clips its query, -1 for none
  std::vector<std::pair<std::string, double>> terms;  // unweighted
  double total = 0;
  double margin = 1e300;  // of the best matchings from the second best, and of the chosen points from the others
};

/// Draws what `uniform` draws, by the shape and the purpose of the draw alone.
ReferenceLosses reference_losses(const std::vector<ReferenceHead>& heads, const ReferencePixels& pixels,
                                 const std::vector<ReferenceClip>& clips, int num_classes,
                                 const CriterionConfig& config, const UniformSource& uniform);

}  // namespace visage::test
