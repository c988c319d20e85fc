// Thresholded mask logits on the GPU without the logits: products of the queries with the pixels stay in the registers
// of a warp until they are bits. Bound by reading the features, once for 64 queries, and then again by every warp from
// the L1 cache. Not yet run or timed on a GPU.
#include "ops/attention/mask_product_kernels.h"
#include "ops/attention/sigmoid_threshold.h"
#include "ops/row_program/row_products.cuh"
#include "tensor/cuda/launch.cuh"

namespace visage::ops {
namespace mask_product_detail {
namespace {

constexpr int kThreads = 256;
constexpr int kQueries = kThreads / cuda::kWarpSize * row_products::kRows;  // of a block
constexpr int kPixels = 64;                                                 // a word
constexpr int kTiles = kPixels / row_products::kTileColumns;

/// The maps one after the other. The pointers among them are not arguments of their own.
struct Maps {
  const void* features[kMostMaskMaps];
  std::uint64_t* bits[kMostMaskMaps];
  std::int64_t pixels[kMostMaskMaps];
  unsigned first_block[kMostMaskMaps];
  int count;
};

struct Shape {
  int queries, channels;
  bool vectors;  // rows are aligned to 16 bytes
};

/// Mapping: block (word of an image of a map, 64 queries); a warp owns eight queries and the 64 pixels of the word,
/// lane (g, t) pixels 8 j + g of queries 2t and 2t + 1 (row_products.cuh). Its eight lanes of a query then unite their
/// bits. Shared memory: none.
template <class T, bool kForeground>
__global__ void __launch_bounds__(kThreads, 2)
    mask_product_kernel(const T* embedding, const float* shift, const __grid_constant__ Maps maps, int* any,
                        Shape shape) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  const int query =
      static_cast<int>(blockIdx.y) * kQueries + static_cast<int>(threadIdx.x) / cuda::kWarpSize * row_products::kRows;
  if (query >= shape.queries) return;  // the whole warp leaves
  int map = 0;
  while (map + 1 < maps.count && blockIdx.x >= maps.first_block[map + 1]) ++map;
  const std::int64_t pixels = maps.pixels[map], words = (pixels + kPixels - 1) / kPixels;
  const unsigned block = blockIdx.x - maps.first_block[map];
  const std::int64_t word = block % words, n = block / words, pixel = word * kPixels + lane / 4;
  const T* const rows = embedding + (n * shape.queries + query) * shape.channels;
  const T* const columns = static_cast<const T*>(maps.features[map]) + (n * pixels + pixel) * shape.channels;
  row_products::Sums<kTiles> all[1];
  row_products::multiply<T, 1>(
      shape.channels, lane,
      [&](int row, int k) {
        return row_products::load_chunk(rows + row * std::int64_t{shape.channels} + k,
                                        query + row < shape.queries ? shape.channels - k : 0, shape.vectors);
      },
      [&](int j, int k) {
        const int column = j * row_products::kTileColumns;
        return row_products::load_chunk(columns + column * std::int64_t{shape.channels} + k,
                                        pixel + column < pixels ? shape.channels - k : 0, shape.vectors);
      },
      all);
  const auto& sums = all[0];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int own = query + lane % 4 * 2 + i;
    const std::int64_t row = n * shape.queries + min(own, shape.queries - 1);
    const float added = shift[row];
    std::uint64_t mine = 0;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const int column = j * row_products::kTileColumns;
      const float logit = sums[j][i] + added;
      const bool set = kForeground ? logit >= kLeastAboveHalf : !(logit <= kGreatestBelowHalf);
      if (set && pixel + column < pixels) mine |= std::uint64_t{1} << (column + lane / 4);
    }
#pragma unroll
    for (int distance = 4; distance < cuda::kWarpSize; distance *= 2)
      mine |= __shfl_xor_sync(cuda::kAllLanes, mine, distance);
    if (lane >= 4 || own >= shape.queries) continue;
    maps.bits[map][row * words + word] = mine;
    if (any && mine) atomicOr(any + row, 1);
  }
}

template <class T>
void run(const MaskProductArgs& args, StreamHandle stream) {
  const Dims& size = args.embedding.size;
  bool vectors = size[2] % cuda::kPacketSize<T> == 0 && cuda::is_packet_aligned(args.embedding.data);
  Maps maps{};
  maps.count = args.maps;
  unsigned blocks = 0;
  for (int i = 0; i < args.maps; ++i) {
    maps.features[i] = args.features[i].data;
    maps.bits[i] = args.bits[i].as<std::uint64_t>();
    maps.pixels[i] = args.features[i].size[1];
    maps.first_block[i] = blocks;
    blocks += static_cast<unsigned>(size[0] * args.bits[i].size[2]);
    vectors = vectors && cuda::is_packet_aligned(args.features[i].data);
  }
  const Shape shape{static_cast<int>(size[1]), static_cast<int>(size[2]), vectors};
  const dim3 grid(blocks, cuda::blocks_for(size[1], kQueries));
  const auto start = [&]<bool kForeground>() {
    cuda::launch<mask_product_kernel<T, kForeground>>({grid, kThreads, 0, stream}, args.embedding.as<const T>(),
                                                      args.shift.as<const float>(), maps, args.any.as<int>(), shape);
  };
  if (args.foreground)
    start.template operator()<true>();
  else
    start.template operator()<false>();
}

}  // namespace
}  // namespace mask_product_detail

void mask_product_cuda(const MaskProductArgs& args, StreamHandle stream) {
  cuda::for_f32_or_bf16(args.embedding.dtype, [&]<class T>(T) { mask_product_detail::run<T>(args, stream); });
}

}  // namespace visage::ops
