#pragma once
#include "tensor/tensor.h"
#include "visage/tracking/config.h"

#include <span>

namespace visage::tracking {

/// The last W frames of embeddings and scores, aligned to track slots. A ring: nothing moves when a frame is added.
class MemoryBank {
 public:
  /// throws UsageError if window < 1.
  MemoryBank(std::int64_t window, MemoryWeighting weighting);

  /// Stores a frame and forgets the oldest when the bank is full. Row k of what is stored is row query_of_slot[k] of
  /// the arguments. embeddings f32 [Q, D], scores f32 [Q], on the CPU.
  /// throws ShapeError if the sizes differ from those of the frames before, or an index is not a row.
  void insert(const Tensor& embeddings, const Tensor& scores, std::span<const int> query_of_slot);

  /// Weighted sum over the stored frames, f32 [K, D] (VISAGE, Eq. 1; see MemoryWeighting for the weights). A bank whose
  /// scores are all zero reads zeros under `paper`. throws Error if nothing is stored.
  [[nodiscard]] Tensor read() const;

  /// Number of frames stored, at most the window.
  std::int64_t size() const { return stored_; }
  void reset() { stored_ = newest_ = 0; }

 private:
  Tensor weights() const;

  std::int64_t window_;
  MemoryWeighting weighting_;
  Tensor embeddings_;  // [W, K, D]; frame i of the ring is valid for i < stored_
  Tensor scores_;      // [W, K]
  std::int64_t stored_ = 0;
  std::int64_t newest_ = 0;  // ring position of the frame inserted last
};

}  // namespace visage::tracking
