#include "tests/cli/program.h"
#include "tests/support/files.h"

#include <gmock/gmock.h>

namespace visage::cli {
namespace {

using test::run;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST(DataCheck, PrintsASummaryAndSucceeds) {
  const test::TemporaryFolder folder;
  ASSERT_EQ(run({"pseudo", "-o", folder / "set", "--split", "train", "--videos", "2", "--frames", "3", "--size",
                 "64x48", "--clips", "none", "-q"})
                .code,
            0);
  const test::Ended ended = run({"data", "check", folder / "set/train", "--frames", "all"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  EXPECT_THAT(ended.out,
              AllOf(HasSubstr("2, 6 frames"), HasSubstr("64x48 (2)"), HasSubstr("circle"),
                    HasSubstr("4 of 8 classes have no instance, first star"), HasSubstr("0 errors, 1 warning")));
}

TEST(DataCheck, ListsEveryErrorAndFails) {
  const test::TemporaryFolder folder;
  test::write_text(folder / "gt.json",
                   R"({"videos": [{"id": 4, "width": 0, "height": 8, "length": 1, "file_names": ["a.jpg"]},
                                  {"id": 5, "width": 8, "height": 8, "length": 2, "file_names": ["b.jpg"]}],
                       "categories": [{"id": 1, "name": "cat"}], "annotations": []})");
  const test::Ended ended = run({"data", "check", folder / "gt.json", "--frames", "none"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.out, AllOf(HasSubstr("videos[0] (id 4): \"width\""), HasSubstr("videos[1] (id 5): \"file_names\""),
                               HasSubstr("2 errors")));
  EXPECT_THAT(ended.err, AllOf(StartsWith("visage data check: "), HasSubstr("gt.json: videos[0] (id 4)"),
                               HasSubstr("1 more problem")));
}

TEST(DataCheck, WrongUseIsExplained) {
  EXPECT_THAT(run({"data", "chek", "x"}).err, HasSubstr("did you mean data check"));
  EXPECT_THAT(run({"data", "check", "x", "--frame", "all"}).err, HasSubstr("did you mean --frames"));
  EXPECT_THAT(run({"data", "check", "x", "--frames", "al"}).err, HasSubstr("did you mean all"));
  EXPECT_EQ(run({"data"}).code, 2);
  EXPECT_EQ(run({"data", "check", "/nowhere"}).code, 1);
}

}  // namespace
}  // namespace visage::cli
