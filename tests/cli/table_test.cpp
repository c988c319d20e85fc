#include "cli/table.h"

#include "tensor/error.h"
#include "tests/support/files.h"

#include <gmock/gmock.h>

#include <sstream>

namespace visage::cli {
namespace {

using test::message_of;
using test::read_text;
using test::write_text;

TEST(Table, AlignsCharactersNotBytes) {
  const Table table{
      .title = "T", .headings = {"", "a", "b"}, .rows = {{"x", "1.0 \u00b1 0.5", ""}, {"long", "2", "3"}}};
  std::ostringstream out;
  table.print(out);
  EXPECT_EQ(out.str(),
            "T\n\n"
            "              a  b\n"
            "x     1.0 \u00b1 0.5\n"
            "long          2  3\n");
  EXPECT_EQ(table.markdown(), "## T\n\n|  | a | b |\n|---|---:|---:|\n| x | 1.0 \u00b1 0.5 |  |\n| long | 2 | 3 |\n");
}

TEST(MarkdownSection, ReplacesItsTextAndNothingElse) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "results.md";
  MarkdownSection(path, "a").write("one\n");
  EXPECT_EQ(read_text(path), "<!-- begin a -->\none\n<!-- end a -->\n");
  MarkdownSection(path, "b").write("two\n");
  write_text(path, "# By hand\n\n" + read_text(path) + "the end\n");
  MarkdownSection(path, "a").write("three\n");
  EXPECT_EQ(read_text(path),
            "# By hand\n\n<!-- begin a -->\nthree\n<!-- end a -->\n\n<!-- begin b -->\ntwo\n<!-- end b -->\nthe end\n");
}

TEST(MarkdownSection, RefusesHalfASection) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "results.md";
  for (const char* text : {"<!-- begin a -->\n", "<!-- end a -->\n", "<!-- end a -->\n<!-- begin a -->\n"}) {
    write_text(path, text);
    EXPECT_THAT(message_of<InputError>([&] { MarkdownSection(path, "a"); }), testing::HasSubstr("belong together"));
    EXPECT_EQ(read_text(path), text);
  }
  EXPECT_THROW(MarkdownSection("/nowhere/results.md", "a"), InputError);
}

}  // namespace
}  // namespace visage::cli
