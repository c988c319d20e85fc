#include "tests/cli/program.h"
#include "tests/support/files.h"
#include "tests/support/source_tree.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;

// The options in the string literals of a file.
std::set<std::string> options_in(const std::string& text) {
  static const std::regex literal(R"("(?:[^"\\\n]|\\.)*")"), option(R"((?:^|[^\w-])(--[a-z][a-z-]+))");
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), literal), end; it != end; ++it) {
    const std::string words = it->str();
    for (std::sregex_iterator word(words.begin(), words.end(), option); word != end; ++word) found.insert((*word)[1]);
  }
  return found;
}

std::set<std::string> known_options() {
  std::set<std::string> known;
  const std::vector<std::vector<std::string>> commands = {{"track"},
                                                          {"train"},
                                                          {"demo"},
                                                          {"eval"},
                                                          {"pseudo"},
                                                          {"export"},
                                                          {"import"},
                                                          {"inspect"},
                                                          {"convert"},
                                                          {"data", "check"},
                                                          {"data", "config"},
                                                          {"sweep"},
                                                          {"analyze", "flip"},
                                                          {"analyze", "embeddings"},
                                                          {"profile", "track"},
                                                          {"profile", "train"}};
  for (std::vector<std::string> command : commands) {
    command.push_back("--help");
    const std::string help = test::run(command).out;
    static const std::regex option(R"(--[a-z][a-z-]+)");
    for (std::sregex_iterator it(help.begin(), help.end(), option), end; it != end; ++it) known.insert(it->str());
  }
  known.insert({"--version", "--help"});
  return known;
}

template <class Check>
int for_each_source(const std::string& floor, Check check) {
  int files = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(test::source_dir() + "/" + floor)) {
    if (entry.path().extension() != ".cpp" && entry.path().extension() != ".h") continue;
    check(entry.path().string(), options_in(test::read_text(entry.path())));
    ++files;
  }
  return files;
}

TEST(Messages, NameOnlyOptionsThatExist) {
  const std::set<std::string> known = known_options();
  EXPECT_TRUE(known.contains("--overwrite"));
  const int files = for_each_source("cli", [&](const std::string& file, const std::set<std::string>& options) {
    for (const std::string& option : options) EXPECT_TRUE(known.contains(option)) << file << ": " << option;
  });
  EXPECT_GT(files, 10);
}

// A program that uses the library has options of its own.
TEST(Messages, OfTheLibraryNameNoOption) {
  for (const char* floor : {"tensor", "autograd", "ops", "nn", "models", "visage", "c_api", "train"})
    for_each_source(floor, [](const std::string& file, const std::set<std::string>& options) {
      EXPECT_TRUE(options.empty()) << file << ": " << *options.begin();
    });
}

TEST(Messages, AreSearchedForOptions) {
  EXPECT_EQ(options_in("f(\"a\"); --i; g(\"use --one, --two-three=4 or 'x' --five\");"),
            (std::set<std::string>{"--one", "--two-three", "--five"}));
}

}  // namespace
}  // namespace visage::cli
