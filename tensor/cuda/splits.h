#pragma once
#include <cstdint>

namespace visage::cuda {

/// Parts to split a sum over `tiles` tiles into when a kernel would have only `blocks` blocks: enough for two on each
/// of the 132 multiprocessors of an H200, but at least two tiles a part, since the parts' sums must be added up
/// afterwards. The same on every device, so that results are.
constexpr std::int64_t split_count(std::int64_t blocks, std::int64_t tiles) {
  constexpr std::int64_t kBlocks = 2 * 132, kTiles = 2;
  const std::int64_t wanted = (kBlocks + blocks - 1) / blocks, possible = (tiles + kTiles - 1) / kTiles;
  return wanted < possible ? wanted : possible;
}

}  // namespace visage::cuda
