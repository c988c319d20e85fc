#include "tensor/error.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "visage/annotation/category_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace visage::annotation {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::vector<Category> classes(const json& list) {
  std::vector<Category> all;
  for (const json& entry : list) all.push_back({.id = entry["id"], .name = entry["name"], .supercategory = {}});
  return all;
}

TEST(CategoryMapGoldenTest, TablesAreTheOfficialOnes) {
  const json data = json::parse(std::ifstream(test::golden_eval_dir() + "/categories.json"));
  const auto coco = classes(data["coco"]);
  for (const std::string target : {"ytvis_2019", "ytvis_2021", "ovis"}) {
    std::vector<int64_t> expected(coco.size(), -1);
    for (const json& pair : data["coco_to_" + target])
      expected[pair["coco_index"].get<size_t>()] = pair["target_index"].get<int64_t>();
    EXPECT_EQ(label_map("coco_to_" + target, coco, classes(data[target])), expected) << target;
  }
}

TEST(CategoryMapGoldenTest, ClassesAreTheOfficialOnes) {
  const json data = json::parse(std::ifstream(test::golden_eval_dir() + "/categories.json"));
  for (const std::string name : {"ytvis_2019", "ytvis_2021", "ovis"}) {
    const std::vector<Category> ours = official_categories(name), theirs = classes(data[name]);
    ASSERT_EQ(ours.size(), theirs.size()) << name;
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(ours[i].id, theirs[i].id);
      EXPECT_EQ(ours[i].name, theirs[i].name);
    }
  }
  EXPECT_THROW((void)official_categories("coco"), UsageError);
}

TEST(CategoryMapTest, ByNameAndErrors) {
  const std::vector<Category> from{{1, "cat", ""}, {2, "dog", ""}, {3, "emu", ""}};
  const std::vector<Category> to{{8, "dog", ""}, {9, "cat", ""}};
  EXPECT_EQ(label_map("name", from, to), (std::vector<int64_t>{1, 0, -1}));
  const std::vector<Category> other{{1, "boat", ""}};
  EXPECT_THROW((void)label_map("name", from, other), InputError);
  EXPECT_THAT(test::message_of<InputError>([&] { (void)label_map("coco_to_ovis", from, to); }), HasSubstr("person"));
  EXPECT_THAT(test::message_of<UsageError>([&] { (void)label_map("coco", from, to); }), HasSubstr("coco_to_ovis"));
}

}  // namespace
}  // namespace visage::annotation
