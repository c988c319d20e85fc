#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace visage::annotation {

/// Axis-aligned box in pixels; x runs right, y runs down.
struct Box {
  double x = 0, y = 0, width = 0, height = 0;
  bool operator==(const Box&) const = default;
};

/// Run-length encoded binary mask, as in COCO (cocodataset/cocoapi, `mask`).
///
/// The mask is read column by column: pixel (x, y) has index x * height + y. `counts` are the lengths of alternating
/// runs, background first (0 when pixel 0 is foreground). Every Rle made by this header is canonical: the counts sum to
/// height * width and no run but the first is empty, so two equal masks have equal counts.
struct Rle {
  int64_t height = 0, width = 0;
  std::vector<uint32_t> counts;
  bool operator==(const Rle&) const = default;
};

/// Most pixels a mask may have: a run must fit in 32 bits.
inline constexpr int64_t kMaxPixels = 0xFFFFFFFF;

/// Checked construction from counts as they stand in a file; empty runs are merged away.
/// Throws InputError for a size that is not positive or above kMaxPixels, an empty list, a negative count, or counts
/// that do not sum to height * width.
[[nodiscard]] Rle rle_from_counts(int64_t height, int64_t width, std::span<const int64_t> counts);

/// Checked construction from COCO's compressed string. Besides the errors of rle_from_counts, throws InputError for a
/// character outside '0'..'o', a number of more than 13 groups, and a string that ends inside a number.
[[nodiscard]] Rle rle_from_string(int64_t height, int64_t width, std::string_view text);

/// Mask without foreground.
[[nodiscard]] Rle empty_rle(int64_t height, int64_t width);

/// COCO's compressed string: count i is written as counts[i] for i < 3 and as counts[i] - counts[i-2] from i = 3 on,
/// in groups of 5 bits, lowest first, bit 5 meaning that more groups follow, each group as the character 48 + value.
[[nodiscard]] std::string to_string(const Rle& rle);
/// The same for bare counts, which are written as they are.
[[nodiscard]] std::string counts_to_string(std::span<const uint32_t> counts);
/// The inverse, without a check of sign or sum. Throws InputError for text that is no sequence of groups.
[[nodiscard]] std::vector<int64_t> counts_from_string(std::string_view text);

/// Number of 64-bit words that hold a packed column-major mask.
[[nodiscard]] inline int64_t packed_words(int64_t height, int64_t width) { return (height * width + 63) / 64; }

/// Encodes a packed column-major mask: pixel p = x * height + y is bit p % 64 (value 1 << p % 64) of words[p / 64], so
/// on a little-endian machine the bytes are those of a bit string with the least significant bit first. Bits past
/// height * width are ignored. Cost grows with words + runs. Throws InputError for a bad size.
[[nodiscard]] Rle encode_columns(const uint64_t* words, int64_t height, int64_t width);

/// Encodes a row-major byte mask [height, width]; every non-zero byte is foreground.
[[nodiscard]] Rle encode_rows(const uint8_t* pixels, int64_t height, int64_t width);

/// Packs a row-major byte mask [height, width] into the bit order of encode_columns.
[[nodiscard]] std::vector<uint64_t> pack_columns(const uint8_t* pixels, int64_t height, int64_t width);

/// Row-major bytes [height, width], 1 for foreground.
[[nodiscard]] std::vector<uint8_t> decode_rows(const Rle& rle);
/// Packed bits in the order of encode_columns; padding bits are 0.
[[nodiscard]] std::vector<uint64_t> decode_columns(const Rle& rle);

/// Number of foreground pixels.
[[nodiscard]] int64_t area(const Rle& rle);
/// Smallest box around the foreground; all zeros for an empty mask.
[[nodiscard]] Box bounding_box(const Rle& rle);

/// Union and intersection of masks of one size. Throw InputError when `masks` is empty or sizes differ.
[[nodiscard]] Rle merge_union(std::span<const Rle> masks);
[[nodiscard]] Rle merge_intersection(std::span<const Rle> masks);

/// Pixel counts of the intersection and the union of two masks.
struct Overlap {
  int64_t intersection_area = 0, union_area = 0;
};
/// Throws InputError when the sizes differ.
[[nodiscard]] Overlap overlap(const Rle& a, const Rle& b);

/// What the ground truth of an IoU stands for. A crowd region is not punished for being larger than the detection.
enum class Truth { object, crowd };

/// |D and G| / |D or G|, or |D and G| / |D| for a crowd; 0 when the intersection is empty.
[[nodiscard]] double iou(const Rle& detection, const Rle& truth, Truth kind = Truth::object);
/// The same for boxes.
[[nodiscard]] double iou(const Box& detection, const Box& truth, Truth kind = Truth::object);

}  // namespace visage::annotation
