#include "visage/annotation/rle.h"

#include "tensor/error.h"

#include <algorithm>
#include <bit>

namespace visage::annotation {
namespace {

// 13 groups of 5 bits hold every 64-bit number; longer ones cannot come from a correct writer.
constexpr int kMaxGroups = 13;

void check_size(int64_t height, int64_t width) {
  check<InputError>(height > 0 && width > 0 && height <= kMaxPixels / width, "rle: size must be positive and at most ",
                    kMaxPixels, " pixels; got [", height, ", ", width, "]");
}

void check_same_size(const Rle& a, const Rle& b) {
  check<InputError>(a.height == b.height && a.width == b.width, "rle: masks must have one size; got [", a.height, ", ",
                    a.width, "] and [", b.height, ", ", b.width, "]");
}

// Collects runs of either value in any cut and keeps the counts canonical.
class RunBuilder {
 public:
  explicit RunBuilder(Rle& out) : counts_(out.counts) { counts_.assign(1, 0); }
  void add(bool value, uint32_t length) {
    if (length == 0) return;
    const bool last = counts_.size() % 2 == 0;
    if (value == last) {
      counts_.back() += length;
    } else {
      counts_.push_back(length);
    }
  }

 private:
  std::vector<uint32_t>& counts_;
};

// Walks two masks of one size together and calls visit(a, b, length) for every stretch where both are constant.
template <class Visit>
void walk(const Rle& a, const Rle& b, Visit visit) {
  size_t i = 0, j = 0;
  uint32_t left_a = a.counts.at(0), left_b = b.counts.at(0);
  while (i < a.counts.size() && j < b.counts.size()) {
    const uint32_t length = std::min(left_a, left_b);
    if (length > 0) visit(i % 2 == 1, j % 2 == 1, length);
    left_a -= length;
    left_b -= length;
    if (left_a == 0) left_a = ++i < a.counts.size() ? a.counts[i] : 0;
    if (left_b == 0) left_b = ++j < b.counts.size() ? b.counts[j] : 0;
  }
}

template <class Combine>
Rle merge(std::span<const Rle> masks, Combine combine) {
  check<InputError>(!masks.empty(), "rle: cannot merge an empty list of masks");
  Rle result = masks[0];
  for (const Rle& mask : masks.subspan(1)) {
    check_same_size(result, mask);
    Rle merged{.height = result.height, .width = result.width, .counts = {}};
    RunBuilder runs(merged);
    walk(result, mask, [&](bool a, bool b, uint32_t length) { runs.add(combine(a, b), length); });
    result = std::move(merged);
  }
  return result;
}

double ratio(double intersection_area, double union_area) {
  return intersection_area > 0 ? intersection_area / union_area : 0;
}

}  // namespace

Rle rle_from_counts(int64_t height, int64_t width, std::span<const int64_t> counts) {
  check_size(height, width);
  check<InputError>(!counts.empty(), "rle: counts are empty; an empty mask is written as [height * width]");
  Rle rle{.height = height, .width = width, .counts = {}};
  rle.counts.reserve(counts.size());
  RunBuilder runs(rle);
  const int64_t pixels = height * width;
  int64_t sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    check<InputError>(counts[i] >= 0, "rle: counts[", i, "] is negative: ", counts[i]);
    check<InputError>(counts[i] <= pixels - sum, "rle: counts sum to more than height * width = ", pixels,
                      " (exceeded at counts[", i, "])");
    sum += counts[i];
    runs.add(i % 2 == 1, static_cast<uint32_t>(counts[i]));
  }
  check<InputError>(sum == pixels, "rle: counts sum to ", sum, ", must be height * width = ", pixels);
  return rle;
}

Rle rle_from_string(int64_t height, int64_t width, std::string_view text) {
  return rle_from_counts(height, width, counts_from_string(text));
}

Rle empty_rle(int64_t height, int64_t width) {
  check_size(height, width);
  return {.height = height, .width = width, .counts = {static_cast<uint32_t>(height * width)}};
}

std::string to_string(const Rle& rle) { return counts_to_string(rle.counts); }

std::string counts_to_string(std::span<const uint32_t> counts) {
  std::string text;
  text.reserve(counts.size() * 2);
  for (size_t i = 0; i < counts.size(); ++i) {
    int64_t value = counts[i];
    if (i > 2) value -= counts[i - 2];
    bool more = true;
    while (more) {
      const int64_t group = value & 0x1F;
      value >>= 5;
      more = (group & 0x10) ? value != -1 : value != 0;
      text.push_back(static_cast<char>(48 + (group | (more ? 0x20 : 0))));
    }
  }
  return text;
}

std::vector<int64_t> counts_from_string(std::string_view text) {
  std::vector<int64_t> counts;
  counts.reserve(text.size());
  size_t position = 0;
  while (position < text.size()) {
    uint64_t value = 0;
    for (int group_index = 0;; ++group_index) {
      check<InputError>(position < text.size(), "rle: counts string ends inside a number");
      check<InputError>(group_index < kMaxGroups, "rle: counts string has a number of more than ", kMaxGroups,
                        " groups at character ", position);
      const int group = static_cast<unsigned char>(text[position]) - 48;
      check<InputError>(group >= 0 && group < 64, "rle: counts string has a byte of value ", group + 48,
                        " at character ", position, ", outside 48..111");
      ++position;
      const int shift = 5 * group_index;
      value |= static_cast<uint64_t>(group & 0x1F) << shift;
      if (group & 0x20) continue;
      if ((group & 0x10) && shift + 5 < 64) value |= ~uint64_t{0} << (shift + 5);
      break;
    }
    // Unsigned addition: a hostile string may overflow, which the caller's sign and sum checks then refuse.
    if (counts.size() > 2) value += static_cast<uint64_t>(counts[counts.size() - 2]);
    counts.push_back(static_cast<int64_t>(value));
  }
  return counts;
}

Rle encode_columns(const uint64_t* words, int64_t height, int64_t width) {
  check_size(height, width);
  Rle rle{.height = height, .width = width, .counts = {}};
  const int64_t pixels = height * width, word_count = packed_words(height, width);
  uint64_t flip = 0;  // all ones inside a foreground run, so that the next change is always the lowest set bit
  int64_t run_start = 0;
  for (int64_t w = 0; w < word_count; ++w) {
    uint64_t changes = words[w] ^ flip;
    while (changes != 0) {
      const int bit = std::countr_zero(changes);
      const int64_t position = w * 64 + bit;
      if (position >= pixels) break;
      rle.counts.push_back(static_cast<uint32_t>(position - run_start));
      run_start = position;
      flip = ~flip;
      changes = ~changes & (~uint64_t{0} << bit);
    }
  }
  rle.counts.push_back(static_cast<uint32_t>(pixels - run_start));
  return rle;
}

std::vector<uint64_t> pack_columns(const uint8_t* pixels, int64_t height, int64_t width) {
  check_size(height, width);
  std::vector<uint64_t> words(packed_words(height, width), 0);
  for (int64_t y = 0; y < height; ++y) {
    const uint8_t* row = pixels + y * width;
    for (int64_t x = 0, p = y; x < width; ++x, p += height) {
      words[p / 64] |= static_cast<uint64_t>(row[x] != 0) << (p % 64);
    }
  }
  return words;
}

Rle encode_rows(const uint8_t* pixels, int64_t height, int64_t width) {
  return encode_columns(pack_columns(pixels, height, width).data(), height, width);
}

std::vector<uint8_t> decode_rows(const Rle& rle) {
  std::vector<uint8_t> pixels(rle.height * rle.width, 0);
  int64_t position = 0;
  for (size_t i = 0; i < rle.counts.size(); ++i) {
    const int64_t end = position + rle.counts[i];
    if (i % 2 == 1) {
      for (int64_t p = position; p < end; ++p) pixels[p % rle.height * rle.width + p / rle.height] = 1;
    }
    position = end;
  }
  return pixels;
}

std::vector<uint64_t> decode_columns(const Rle& rle) {
  std::vector<uint64_t> words(packed_words(rle.height, rle.width), 0);
  int64_t position = 0;
  for (size_t i = 0; i < rle.counts.size(); ++i) {
    const int64_t end = position + rle.counts[i];
    while (i % 2 == 1 && position < end) {
      const int64_t first = position % 64, length = std::min(end - position, 64 - first);
      words[position / 64] |= (~uint64_t{0} >> (64 - length)) << first;
      position += length;
    }
    position = end;
  }
  return words;
}

int64_t area(const Rle& rle) {
  int64_t sum = 0;
  for (size_t i = 1; i < rle.counts.size(); i += 2) sum += rle.counts[i];
  return sum;
}

Box bounding_box(const Rle& rle) {
  int64_t left = rle.width, right = -1, top = rle.height, bottom = -1;
  int64_t position = 0;
  for (size_t i = 0; i < rle.counts.size(); ++i) {
    const int64_t begin = position, last = position + rle.counts[i] - 1;
    position = last + 1;
    if (i % 2 == 0 || rle.counts[i] == 0) continue;
    left = std::min(left, begin / rle.height);
    right = std::max(right, last / rle.height);
    const bool one_column = begin / rle.height == last / rle.height;
    top = std::min(top, one_column ? begin % rle.height : 0);
    bottom = std::max(bottom, one_column ? last % rle.height : rle.height - 1);
  }
  if (right < 0) return {};
  return {.x = static_cast<double>(left),
          .y = static_cast<double>(top),
          .width = static_cast<double>(right - left + 1),
          .height = static_cast<double>(bottom - top + 1)};
}

Rle merge_union(std::span<const Rle> masks) {
  return merge(masks, [](bool a, bool b) { return a || b; });
}

Rle merge_intersection(std::span<const Rle> masks) {
  return merge(masks, [](bool a, bool b) { return a && b; });
}

Overlap overlap(const Rle& a, const Rle& b) {
  check_same_size(a, b);
  Overlap sum;
  walk(a, b, [&](bool in_a, bool in_b, uint32_t length) {
    if (in_a && in_b) sum.intersection_area += length;
    if (in_a || in_b) sum.union_area += length;
  });
  return sum;
}

double iou(const Rle& detection, const Rle& truth, Truth kind) {
  const Overlap shared = overlap(detection, truth);
  const int64_t whole = kind == Truth::crowd ? area(detection) : shared.union_area;
  return ratio(static_cast<double>(shared.intersection_area), static_cast<double>(whole));
}

double iou(const Box& detection, const Box& truth, Truth kind) {
  const double width = std::min(detection.x + detection.width, truth.x + truth.width) - std::max(detection.x, truth.x);
  const double height =
      std::min(detection.y + detection.height, truth.y + truth.height) - std::max(detection.y, truth.y);
  if (width <= 0 || height <= 0) return 0;
  const double shared = width * height;
  const double detection_area = detection.width * detection.height;
  const double truth_area = truth.width * truth.height;
  return ratio(shared, kind == Truth::crowd ? detection_area : detection_area + truth_area - shared);
}

}  // namespace visage::annotation
