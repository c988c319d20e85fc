#include "visage/tracking/memory_bank.h"

#include "ops/shape/views.h"
#include "ops/track/memory_read.h"

#include <algorithm>

namespace visage::tracking {

MemoryBank::MemoryBank(std::int64_t window, MemoryWeighting weighting) : window_(window), weighting_(weighting) {
  check<UsageError>(window >= 1, "memory bank: the window must be at least 1 frame; got ", window);
}

void MemoryBank::insert(const Tensor& embeddings, const Tensor& scores, std::span<const int> query_of_slot) {
  check<ShapeError>(embeddings && scores && embeddings.rank() == 2 && scores.size() == Dims{embeddings.size(0)} &&
                        embeddings.is_contiguous() && scores.is_contiguous(),
                    "memory bank: embeddings must be contiguous [Q,D] and scores [Q]; got ",
                    embeddings ? embeddings.size() : Dims{}, " and ", scores ? scores.size() : Dims{});
  check<DTypeError>(embeddings.dtype() == DType::f32 && scores.dtype() == DType::f32,
                    "memory bank: embeddings and scores must be f32");
  const std::int64_t queries = embeddings.size(0), depth = embeddings.size(1);
  const auto slots = static_cast<std::int64_t>(query_of_slot.size());
  check<ShapeError>(std::ranges::all_of(query_of_slot, [&](int query) { return query >= 0 && query < queries; }),
                    "memory bank: every slot needs a query from 0 to ", queries - 1);
  if (stored_ == 0) {
    embeddings_ = Tensor::empty({window_, slots, depth});
    scores_ = Tensor::empty({window_, slots});
  }
  check<ShapeError>(embeddings_.size() == Dims{window_, slots, depth}, "memory bank: frames so far were ",
                    embeddings_.size(), " [W,K,D]; got ", slots, " slots of ", depth, " channels");

  newest_ = stored_ == 0 ? 0 : (newest_ + 1) % window_;
  stored_ = std::min(stored_ + 1, window_);
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    const std::int64_t query = query_of_slot[slot], row = newest_ * slots + slot;
    std::copy_n(embeddings.data<float>() + query * depth, depth, embeddings_.data<float>() + row * depth);
    scores_.data<float>()[row] = scores.data<float>()[query];
  }
}

/// Weights of the stored frames in ring order, [stored, K].
Tensor MemoryBank::weights() const {
  const std::int64_t slots = scores_.size(1);
  Tensor result = Tensor::empty({stored_, slots});
  float* weight = result.data<float>();
  for (std::int64_t i = 0; i < stored_; ++i) {
    const auto age = static_cast<float>((newest_ - i + stored_) % stored_ + 1);
    const float recency = static_cast<float>(window_) / age, seniority = age / static_cast<float>(stored_);
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      const float score = scores_.data<float>()[i * slots + slot];
      weight[i * slots + slot] = weighting_ == MemoryWeighting::paper ? score * recency : score + seniority;
    }
  }
  if (weighting_ == MemoryWeighting::paper) return result;
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    float sum = 0;
    for (std::int64_t i = 0; i < stored_; ++i) sum += weight[i * slots + slot];
    for (std::int64_t i = 0; i < stored_; ++i) weight[i * slots + slot] /= sum;
  }
  return result;
}

Tensor MemoryBank::read() const {
  check(stored_ > 0, "memory bank: nothing is stored yet; insert a frame before reading");
  return ops::memory_read(ops::narrow(embeddings_, 0, 0, stored_), weights());
}

}  // namespace visage::tracking
