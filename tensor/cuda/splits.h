#pragma once
#include <cstdint>

namespace visage::cuda {

/// Parts to split a sum over `tiles` tiles into when a kernel would have only `blocks` blocks: as many as keep two
/// blocks busy on each of the 132 multiprocessors of an H200 without a second wave, but at least two tiles a part,
/// since the parts' sums must be added up afterwards. The same on every device, so that results are. Part s takes tiles
/// [tiles * s / splits, tiles * (s + 1) / splits).
constexpr std::int64_t split_count(std::int64_t blocks, std::int64_t tiles) {
  constexpr std::int64_t kBlocks = 2 * 132, kTiles = 2;
  const std::int64_t wanted = blocks < kBlocks ? kBlocks / blocks : 1, possible = (tiles + kTiles - 1) / kTiles;
  return wanted < possible ? wanted : possible;
}

}  // namespace visage::cuda
