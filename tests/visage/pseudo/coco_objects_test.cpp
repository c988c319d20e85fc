#include "visage/pseudo/coco_objects.h"

#include "tensor/error.h"
#include "tests/support/files.h"
#include "visage/annotation/category_map.h"
#include "visage/media/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace visage::pseudo {
namespace {

using annotation::CocoInstance;
using annotation::Polygon;
using ::testing::HasSubstr;

Polygon rectangle(double x, double y, double width, double height) {
  return {x, y, x + width, y, x + width, y + height, x, y + height};
}

// One image of 400x300 in which the column is the red and the row the green value.
class CocoObjectsTest : public ::testing::Test {
 protected:
  CocoObjectsTest() {
    media::Image image(400, 300);
    for (int64_t y = 0; y < 300; ++y)
      for (int64_t x = 0; x < 400; ++x) {
        image.pixel(x, y)[0] = static_cast<uint8_t>(x / 2);
        image.pixel(x, y)[1] = static_cast<uint8_t>(y / 2);
      }
    media::write_png(folder_ / "a.png", image);
    data_.images = {{.id = 5, .height = 300, .width = 400, .file_name = "a.png"}};
    data_.image_index = {{5, 0}};
    add_category(1, "person");
    add_category(18, "dog");
  }
  void add_category(int64_t id, const std::string& name) {
    data_.category_index.emplace(id, data_.categories.size());
    data_.categories.push_back({.id = id, .name = name, .supercategory = {}});
  }
  CocoInstance& add(int64_t id, std::vector<Polygon> polygons, int64_t category = 1) {
    data_.instances.push_back({.id = id, .image_id = 5, .category_id = category, .polygons = std::move(polygons)});
    return data_.instances.back();
  }
  CocoObjects objects(std::string_view classes = "coco") const { return {data_, folder_.path().string(), classes}; }

  test::TemporaryFolder folder_;
  annotation::ImageDataset data_;
};

TEST_F(CocoObjectsTest, OnlyWholeObjectsOfOnePieceAreUsed) {
  const auto usable = [&](std::vector<Polygon> polygons) {
    add(1, {rectangle(20, 20, 100, 100)});  // so that there is always one
    add(2, std::move(polygons));
    const int64_t count = objects().usable() - 1;
    data_.instances.clear();
    return count;
  };
  EXPECT_EQ(usable({rectangle(2, 2, 100, 100)}), 1);
  EXPECT_EQ(usable({rectangle(1, 50, 100, 100)}), 0) << "touches the border";
  EXPECT_EQ(usable({rectangle(50, 199, 100, 100)}), 0) << "touches the border";
  EXPECT_EQ(usable({rectangle(50, 50, 64, 64)}), 1);
  EXPECT_EQ(usable({rectangle(50, 50, 64, 63)}), 0) << "too small";
  EXPECT_EQ(usable({rectangle(50, 50, 80, 80), rectangle(150, 50, 80, 80)}), 0) << "two pieces";
  add(1, {rectangle(20, 20, 100, 100)}).is_crowd = true;
  EXPECT_THAT(test::message_of<InputError>([&] { (void)objects(); }), HasSubstr("no object to cut out"));
}

TEST_F(CocoObjectsTest, CutsAnObjectOutAtItsOwnSize) {
  add(7, {Polygon{100, 50, 200, 50, 200, 150}}, 18);  // a triangle
  const Sprite sprite = objects().cut_out(7);
  EXPECT_NEAR(static_cast<double>(sprite.width), 100, 1);
  EXPECT_NEAR(static_cast<double>(sprite.height), 100, 1);
  EXPECT_EQ(sprite.category_id, 18);
  EXPECT_EQ(sprite.coco, (CocoId{.image = 5, .annotation = 7}));
  const auto pixel = [&](int64_t x, int64_t y) { return sprite.rgba.data() + 4 * (y * sprite.width + x); };
  EXPECT_EQ(pixel(90, 10)[3], 255);
  EXPECT_NEAR(pixel(90, 10)[0], (100 + 90) / 2, 1);
  EXPECT_NEAR(pixel(90, 10)[1], (50 + 10) / 2, 1);
  EXPECT_EQ(pixel(10, 90)[3], 0) << "outside the triangle";
  EXPECT_THAT(test::message_of<InputError>([&] { (void)objects().cut_out(8); }), HasSubstr("no annotation 8"));
}

TEST_F(CocoObjectsTest, DrawsClassesFirstAndNoInstanceTwice) {
  for (int64_t i = 0; i < 6; ++i) add(10 + i, {rectangle(20 + static_cast<double>(i), 20, 100, 100)});
  add(20, {rectangle(20, 20, 100, 100)}, 18);
  add(30, {rectangle(20, 20, 300, 100)});  // too wide for this frame
  const CocoObjects source = objects();
  Random random(4, 0);
  std::map<int64_t, int> first;
  for (int trial = 0; trial < 120; ++trial) {
    std::set<int64_t> seen;
    const std::vector<Sprite> sprites = source.draw(3, {.width = 300, .height = 300}, random);
    for (const Sprite& sprite : sprites) EXPECT_TRUE(seen.insert(sprite.coco->annotation).second);
    EXPECT_FALSE(seen.contains(30));
    ++first[sprites[0].category_id];
  }
  EXPECT_NEAR(first[1] / 120.0, 2 / 3.0, 0.13);  // a person twice as often as a dog, however many there are
  EXPECT_EQ(source.draw(7, {.width = 300, .height = 300}, random).size(), 7u);
  EXPECT_THAT(test::message_of<InputError>([&] { (void)source.draw(8, {.width = 300, .height = 300}, random); }),
              HasSubstr("only 7 objects that fit a frame of 300x300; 8 are needed"));
}

TEST_F(CocoObjectsTest, OneNumberDecidesADraw) {
  for (int64_t i = 0; i < 6; ++i) add(10 + i, {rectangle(20, 20, 100, 100)});
  Random a(1, 0), b(1, 0);
  const CocoObjects source = objects();
  (void)source.draw(2, {.width = 300, .height = 300}, a);
  (void)b.bits();
  EXPECT_EQ(a.bits(), b.bits());
}

TEST_F(CocoObjectsTest, ClassesAreThoseOfAnOfficialSet) {
  for (const char* name : {"bicycle", "car",       "motorcycle", "airplane",  "train",         "truck",  "boat",
                           "cat",     "horse",     "cow",        "elephant",  "bear",          "zebra",  "giraffe",
                           "skis",    "snowboard", "skateboard", "surfboard", "tennis racket", "toaster"})
    add_category(100 + static_cast<int64_t>(data_.categories.size()), name);
  add(1, {rectangle(20, 20, 100, 100)}, 18);
  add(2, {rectangle(20, 20, 100, 100)}, data_.categories.back().id);
  const CocoObjects source = objects("ytvis_2019");
  EXPECT_EQ(source.categories().size(), 40u);
  EXPECT_EQ(source.usable(), 1) << "YouTube-VIS has no toasters";
  EXPECT_EQ(source.categories()[source.cut_out(1).category_id - 1].name, "dog");
  EXPECT_THROW((void)objects("ytvis"), UsageError);
}

}  // namespace
}  // namespace visage::pseudo
