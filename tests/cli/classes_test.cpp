#include "cli/classes.h"

#include "tensor/error.h"
#include "tests/support/files.h"

#include <gmock/gmock.h>

namespace visage::cli {
namespace {

using testing::ElementsAre;
using testing::EndsWith;

std::vector<annotation::Category> categories(const std::vector<std::string>& names) {
  std::vector<annotation::Category> all;
  for (const std::string& name : names)
    all.push_back({.id = 10 * (static_cast<std::int64_t>(all.size()) + 1), .name = name, .supercategory = {}});
  return all;
}

TEST(ChosenClasses, AreNamesOrIds) {
  const auto all = categories({"circle", "square", "20"});
  EXPECT_THAT(chosen_classes("square,10,20", all), ElementsAre(20, 10, 30)) << "a name goes before an id";
  EXPECT_THAT(chosen_classes("", all), ElementsAre());
}

TEST(ChosenClasses, AMistakeIsAnsweredWithWhatThereIs) {
  const auto answer = [](const std::string& list, const std::vector<std::string>& names) {
    return test::message_of<UsageError>([&] { (void)chosen_classes(list, categories(names)); });
  };
  EXPECT_EQ(answer("disc", {"circle", "square"}),
            "--classes: there is no class \"disc\"; the classes are circle, square");
  EXPECT_THAT(answer("circel", {"circle", "square"}), EndsWith("; did you mean circle"));
  EXPECT_THAT(answer("disc", {"aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh", "ii", "jj", "kk"}),
              EndsWith("the classes are aa, bb, cc, dd, ee, ff, gg, hh, ii, jj, ..."));
}

}  // namespace
}  // namespace visage::cli
