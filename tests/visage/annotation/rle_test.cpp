#include "visage/annotation/rle.h"

#include "tensor/error.h"
#include "visage/annotation/polygon.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace visage::annotation {
namespace {

using ::testing::HasSubstr;

template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

std::string counts_error(int64_t height, int64_t width, std::vector<int64_t> counts) {
  return error_of([&] { (void)rle_from_counts(height, width, counts); });
}

std::string string_error(std::string_view text) {
  return error_of([&] { (void)rle_from_string(8, 10, text); });
}

TEST(RleTest, RefusesCountsThatAreNoMask) {
  EXPECT_THAT(counts_error(8, 10, {}), HasSubstr("empty"));
  EXPECT_THAT(counts_error(8, 10, {77}), HasSubstr("sum to 77, must be height * width = 80"));
  EXPECT_THAT(counts_error(8, 10, {80, 1}), HasSubstr("more than height * width = 80"));
  EXPECT_THAT(counts_error(8, 10, {90, -10}), HasSubstr("more than"));
  EXPECT_THAT(counts_error(8, 10, {10, -10, 80}), HasSubstr("counts[1] is negative: -10"));
  EXPECT_THAT(counts_error(8, 10, {int64_t{1} << 32, 80}), HasSubstr("more than"));
  EXPECT_THAT(counts_error(0, 10, {0}), HasSubstr("size must be positive"));
  EXPECT_THAT(counts_error(-8, -10, {80}), HasSubstr("size must be positive"));
  EXPECT_THAT(counts_error(4000000000, 4000000000, {80}), HasSubstr("at most 4294967295 pixels"));
  const int64_t huge = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(counts_error(8, 10, {huge, huge, 2}), HasSubstr("more than"));
}

TEST(RleTest, RefusesStringsThatAreNoCounts) {
  EXPECT_THAT(string_error(""), HasSubstr("empty"));
  EXPECT_THAT(string_error("/"), HasSubstr("byte of value 47 at character 0"));
  EXPECT_THAT(string_error("1p"), HasSubstr("byte of value 112 at character 1"));
  EXPECT_THAT(string_error("\xC3\xA9"), HasSubstr("byte of value 195"));
  EXPECT_THAT(string_error(std::string_view("1\0", 2)), HasSubstr("byte of value 0 at character 1"));
  EXPECT_THAT(string_error("P"), HasSubstr("ends inside a number"));
  EXPECT_THAT(string_error(std::string(40, 'o') + "0"), HasSubstr("more than 13 groups"));
  EXPECT_THAT(string_error("O"), HasSubstr("negative"));
  EXPECT_THAT(string_error("5"), HasSubstr("sum to 5"));
}

TEST(RleTest, LongestNumbersDoNotOverflowSilently) {
  // 13 groups: bit 60 upwards come from the last one; the counts fail the checks instead of wrapping around.
  EXPECT_THAT(string_error(std::string(12, 'o') + "7"), HasSubstr("more than"));
  EXPECT_THAT(string_error(std::string(12, 'P') + "@"), HasSubstr("sum"));
  const std::string big = std::string(12, 'o') + "7";
  EXPECT_NE(error_of([&] { (void)rle_from_string(8, 10, big + big + big + big + big); }), "no error");
}

TEST(RleTest, EveryRandomMaskSurvivesTheRoundTrip) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 200; ++trial) {
    const int64_t height = 1 + random() % 70, width = 1 + random() % 70;
    const uint32_t keep = random() % 8 + 1;
    std::vector<uint8_t> pixels(height * width);
    uint8_t value = 0;
    for (uint8_t& pixel : pixels) pixel = value = (random() % keep == 0) ? uint8_t(random() % 2) : value;
    const Rle rle = encode_rows(pixels.data(), height, width);
    EXPECT_EQ(decode_rows(rle), pixels);
    EXPECT_EQ(rle_from_string(height, width, to_string(rle)), rle);
    EXPECT_EQ(encode_columns(decode_columns(rle).data(), height, width), rle);
    for (size_t i = 1; i < rle.counts.size(); ++i) EXPECT_GT(rle.counts[i], 0u);
  }
}

TEST(RleTest, BitsPastTheMaskAreIgnored) {
  const uint64_t ones[] = {~uint64_t{0}};
  EXPECT_EQ(encode_columns(ones, 3, 5).counts, (std::vector<uint32_t>{0, 15}));
  const uint64_t padding_only[] = {~uint64_t{0} << 15};
  EXPECT_EQ(encode_columns(padding_only, 3, 5).counts, (std::vector<uint32_t>{15}));
}

TEST(RleTest, BitOrderIsColumnMajorLowestBitFirst) {
  // Pixel (x=1, y=2) of a mask of height 3 has index 1 * 3 + 2 = 5.
  const uint64_t words[] = {uint64_t{1} << 5};
  EXPECT_EQ(bounding_box(encode_columns(words, 3, 4)), (Box{1, 2, 1, 1}));
  std::vector<uint8_t> rows(12, 0);
  rows[2 * 4 + 1] = 1;
  EXPECT_EQ(decode_rows(encode_columns(words, 3, 4)), rows);
}

TEST(RleTest, MasksOfDifferentSizesAreRefused) {
  const Rle a = empty_rle(3, 4), b = empty_rle(4, 3);
  EXPECT_THAT(error_of([&] { (void)overlap(a, b); }), HasSubstr("[3, 4] and [4, 3]"));
  EXPECT_THAT(error_of([&] { (void)merge_union(std::vector<Rle>{a, b}); }), HasSubstr("one size"));
  EXPECT_THAT(error_of([&] { (void)merge_union({}); }), HasSubstr("empty list"));
}

TEST(RleTest, EmptyMasksHaveIouZero) {
  const Rle nothing = empty_rle(5, 5);
  EXPECT_EQ(iou(nothing, nothing), 0);
  EXPECT_EQ(iou(nothing, nothing, Truth::crowd), 0);
  EXPECT_EQ(area(nothing), 0);
  EXPECT_EQ(bounding_box(nothing), Box{});
}

TEST(PolygonTest, RefusesCoordinatesOutOfRange) {
  for (const double bad :
       {1e30, -2e5, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const Polygon ring{0, 0, 5, bad, 5, 5};
    EXPECT_THAT(error_of([&] { (void)rle_from_polygon(8, 10, ring); }), HasSubstr("of point 1 is beyond"));
  }
  EXPECT_EQ(area(rle_from_polygon(8, 10, Polygon{})), 0);
  EXPECT_EQ(area(rle_from_polygons(8, 10, {})), 0);
}

}  // namespace
}  // namespace visage::annotation
