#pragma once
#include "ops/mask_pool/mask_pool_kernels.h"

#include <cuda_runtime.h>

namespace visage::ops::mask_pool_detail {

/// The map that a block along the first axis of the grid belongs to.
__device__ __forceinline__ const PoolMap& map_of(const PoolMaps& maps, unsigned block) {
  int i = 0;
  while (i + 1 < maps.count && block >= maps.map[i + 1].first_block) ++i;
  return maps.map[i];
}

}  // namespace visage::ops::mask_pool_detail
