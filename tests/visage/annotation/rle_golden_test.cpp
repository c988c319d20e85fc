#include "tests/support/golden.h"
#include "visage/annotation/polygon.h"
#include "visage/annotation/rle.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <fstream>

namespace visage::annotation {
namespace {

using nlohmann::json;

json load(const std::string& name) {
  std::ifstream in(test::golden_eval_dir() + "/rle/" + name);
  EXPECT_TRUE(in) << name;
  return json::parse(in);
}

Box to_box(const json& values) { return {values[0], values[1], values[2], values[3]}; }

std::vector<uint32_t> to_counts(const json& values) { return values.get<std::vector<uint32_t>>(); }

TEST(RleGoldenTest, BitmapsCountsStringsAreasAndBoxesAgree) {
  const json document = load("masks.json");
  std::ifstream in(test::golden_eval_dir() + "/rle/masks.bin", std::ios::binary);
  const std::string bits((std::istreambuf_iterator<char>(in)), {});
  ASSERT_FALSE(document["masks"].empty());
  for (const json& mask : document["masks"]) {
    SCOPED_TRACE(mask["name"].get<std::string>());
    const int64_t height = mask["height"], width = mask["width"];
    std::vector<uint64_t> words(packed_words(height, width), 0);
    ASSERT_LE(mask["bits_offset"].get<size_t>() + mask["bits_nbytes"].get<size_t>(), bits.size());
    std::memcpy(words.data(), bits.data() + mask["bits_offset"].get<size_t>(), mask["bits_nbytes"].get<size_t>());

    const Rle rle = encode_columns(words.data(), height, width);
    if (mask.contains("counts")) {
      EXPECT_EQ(rle.counts, to_counts(mask["counts"]));
    } else {
      EXPECT_EQ(rle.counts.size(), mask["num_counts"].get<size_t>());
    }
    const std::string text = mask["counts_string"];
    EXPECT_EQ(to_string(rle), text);
    EXPECT_EQ(rle_from_string(height, width, text), rle);
    EXPECT_EQ(area(rle), mask["area"].get<int64_t>());
    EXPECT_EQ(bounding_box(rle), to_box(mask["bbox"]));
    EXPECT_EQ(decode_columns(rle), words);

    const std::vector<uint8_t> rows = decode_rows(rle);
    for (int64_t p = 0; p < height * width; ++p) {
      ASSERT_EQ(rows[p % height * width + p / height], words[p / 64] >> (p % 64) & 1) << "pixel " << p;
    }
    EXPECT_EQ(pack_columns(rows.data(), height, width), words);
    EXPECT_EQ(encode_rows(rows.data(), height, width), rle);
  }
}

TEST(RleGoldenTest, CodecIsExact) {
  const json document = load("codec.json");
  for (const json& item : document["codec_only"]) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const std::vector<uint32_t> counts = to_counts(item["counts"]);
    EXPECT_EQ(counts_to_string(counts), item["counts_string"].get<std::string>());
    EXPECT_EQ(counts_from_string(item["counts_string"].get<std::string>()),
              std::vector<int64_t>(counts.begin(), counts.end()));
    const Rle rle = rle_from_string(item["size"][0], item["size"][1], item["counts_string"].get<std::string>());
    EXPECT_EQ(area(rle), item["area"].get<int64_t>());
  }
}

TEST(RleGoldenTest, NonCanonicalCountsAreMadeCanonical) {
  const json document = load("codec.json");
  for (const json& item : document["noncanonical"]) {
    SCOPED_TRACE(item["name"].get<std::string>());
    EXPECT_EQ(counts_to_string(to_counts(item["counts"])), item["counts_string"].get<std::string>());
    const int64_t height = item["size"][0], width = item["size"][1];
    const Rle rle = rle_from_string(height, width, item["counts_string"].get<std::string>());
    EXPECT_EQ(rle, rle_from_counts(height, width, item["counts"].get<std::vector<int64_t>>()));
    EXPECT_EQ(rle.counts, to_counts(item["canonical_counts"]));
    EXPECT_EQ(to_string(rle), item["canonical_counts_string"].get<std::string>());
    EXPECT_EQ(area(rle), item["area"].get<int64_t>());
    EXPECT_EQ(bounding_box(rle), to_box(item["bbox"]));
  }
}

TEST(RleGoldenTest, PolygonsAndBoxesRasteriseExactly) {
  const json document = load("polygons.json");
  for (const json& item : document["polygons"]) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const int64_t height = item["height"], width = item["width"];
    const auto rings = item["polygons"].get<std::vector<Polygon>>();
    for (size_t i = 0; i < rings.size(); ++i) {
      EXPECT_EQ(to_string(rle_from_polygon(height, width, rings[i])), item["per_polygon"][i].get<std::string>());
    }
    const Rle merged = rle_from_polygons(height, width, rings);
    EXPECT_EQ(to_string(merged), item["merged"].get<std::string>());
    EXPECT_EQ(merged.counts, to_counts(item["merged_counts"]));
    EXPECT_EQ(area(merged), item["area"].get<int64_t>());
    EXPECT_EQ(bounding_box(merged), to_box(item["bbox"]));
  }
  for (const json& item : document["boxes"]) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const Rle rle = rle_from_box(item["height"], item["width"], to_box(item["box_xywh"]));
    EXPECT_EQ(rle.counts, to_counts(item["counts"]));
    EXPECT_EQ(to_string(rle), item["counts_string"].get<std::string>());
    EXPECT_EQ(area(rle), item["area"].get<int64_t>());
  }
}

std::vector<Rle> to_masks(const json& size, const json& strings) {
  std::vector<Rle> masks;
  for (const json& text : strings) masks.push_back(rle_from_string(size[0], size[1], text.get<std::string>()));
  return masks;
}

TEST(RleGoldenTest, UnionAndIntersectionAreExact) {
  const json document = load("ops.json");
  for (const json& item : document["merge"]) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const std::vector<Rle> masks = to_masks(item["size"], item["masks"]);
    for (size_t i = 0; i < masks.size(); ++i) EXPECT_EQ(area(masks[i]), item["areas"][i].get<int64_t>());
    const Rle united = merge_union(masks), common = merge_intersection(masks);
    EXPECT_EQ(to_string(united), item["union"].get<std::string>());
    EXPECT_EQ(to_string(common), item["intersection"].get<std::string>());
    EXPECT_EQ(area(united), item["union_area"].get<int64_t>());
    EXPECT_EQ(area(common), item["intersection_area"].get<int64_t>());
    if (masks.size() == 2) {
      const Overlap both = overlap(masks[0], masks[1]);
      EXPECT_EQ(both.union_area, area(united));
      EXPECT_EQ(both.intersection_area, area(common));
    }
  }
}

TEST(RleGoldenTest, IousAgree) {
  const json document = load("ops.json");
  for (const json& item : document["iou"]) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const std::vector<Rle> dt = to_masks(item["size"], item["dt"]), gt = to_masks(item["size"], item["gt"]);
    for (size_t d = 0; d < dt.size(); ++d) {
      for (size_t g = 0; g < gt.size(); ++g) {
        const Truth kind = item["iscrowd"][g] == 1 ? Truth::crowd : Truth::object;
        EXPECT_NEAR(iou(dt[d], gt[g], kind), item["iou"][d][g].get<double>(), 1e-12) << d << ", " << g;
      }
    }
  }
  for (const json& item : document["box_iou"]) {
    for (size_t d = 0; d < item["dt"].size(); ++d) {
      for (size_t g = 0; g < item["gt"].size(); ++g) {
        const Truth kind = item["iscrowd"][g] == 1 ? Truth::crowd : Truth::object;
        EXPECT_NEAR(iou(to_box(item["dt"][d]), to_box(item["gt"][g]), kind), item["iou"][d][g].get<double>(), 1e-12);
      }
    }
  }
}

}  // namespace
}  // namespace visage::annotation
