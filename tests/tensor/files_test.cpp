#include "tensor/files.h"

#include "tensor/error.h"
#include "tests/support/files.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <sys/wait.h>
#include <unistd.h>

namespace visage::files {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::read_text;
using test::TemporaryFolder;
using test::write_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> names_in(const TemporaryFolder& folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder.path()))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// What a writer that is killed in the middle leaves.
template <class Write>
void leave_behind(Write write) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    write();
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(AtomicFile, AppearsWhenItIsComplete) {
  const TemporaryFolder folder;
  write_text(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new ");
    EXPECT_EQ(read_text(folder / "a"), "old");
    EXPECT_EQ(read_text(file.temporary_path()), "new ") << "not buffered";
    EXPECT_TRUE(is_leftover(file.temporary_path()));
    file.write("text");
    file.commit();
    EXPECT_EQ(read_text(folder / "a"), "new text");
  }
  EXPECT_THAT(names_in(folder), ElementsAre("a"));
}

TEST(AtomicFile, LeavesNothingUnlessItIsKept) {
  const TemporaryFolder folder;
  { AtomicFile(folder / "a").write("x"); }
  EXPECT_THAT(names_in(folder), IsEmpty());
  {
    AtomicFile file(folder / "a");
    file.write("x");
    file.keep();
  }
  EXPECT_THAT(names_in(folder), ElementsAre("a.visage-partial"));
  EXPECT_EQ(read_text(temporary_name(folder / "a")), "x");
}

TEST(AtomicFile, WritersOfOneNameDoNotMeet) {
  const TemporaryFolder folder;
  AtomicFile first(folder / "a"), second(folder / "a");
  first.write("first");
  second.write("second");
  EXPECT_THAT(names_in(folder), ElementsAre("a.1.visage-partial", "a.visage-partial"));
  remove_leftovers(folder / "a");
  EXPECT_EQ(names_in(folder).size(), 2u) << "both are still being written";
  second.commit();
  EXPECT_EQ(read_text(folder / "a"), "second");
  first.commit();
  EXPECT_EQ(read_text(folder / "a"), "first");
  EXPECT_THAT(names_in(folder), ElementsAre("a"));
}

TEST(AtomicFile, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  const auto open = [](const std::string& path) { return message_of<InputError>([&] { AtomicFile file(path); }); };
  EXPECT_THAT(open("/nowhere/a"), HasSubstr("/nowhere/a: cannot be written (No such file"));
  EXPECT_THAT(open(folder.path().string()), HasSubstr("is not a regular file"));
  EXPECT_THAT(message_of<InputError>([&] { write_file("/dev/full", "x"); }), HasSubstr("No space left"));
}

TEST(Leftovers, OfKilledWritersGoAwayWithTheNextOne) {
  const TemporaryFolder folder;
  leave_behind([&] { (new AtomicFile(folder / "a"))->write("x"); });
  leave_behind([&] {
    auto* const place = new TemporaryPath(folder / "b", Kind::folder);
    write_file(place->path() + "/1.png", "x");
  });
  EXPECT_THAT(names_in(folder), ElementsAre("a.visage-partial", "b.visage-partial"));
  for (const std::string& name : names_in(folder)) EXPECT_TRUE(is_leftover(name));
  AtomicFile file(folder / "a");
  file.write("y");
  file.commit();
  remove_leftovers(folder / "b");
  EXPECT_THAT(names_in(folder), ElementsAre("a"));
  EXPECT_EQ(read_text(folder / "a"), "y");
}

TEST(Leftovers, AreNothingElse) {
  EXPECT_FALSE(is_leftover("a.tmp"));
  EXPECT_FALSE(is_leftover("a.partial"));
  const TemporaryFolder folder;
  write_text(folder / "a.partial", "mine");
  write_text(folder / "ab.visage-partial", "of another target");
  remove_leftovers(folder / "a");
  EXPECT_EQ(names_in(folder).size(), 2u);
}

TEST(TemporaryFolderPath, ReplacesAFolderOnlyWhenItIsComplete) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "a");
  write_text(folder / "a/old", "");
  EXPECT_THAT(message_of<InputError>([&] { TemporaryPath(folder / "a", Kind::folder, Existing::refuse); }),
              HasSubstr("is not empty"));
  { const TemporaryPath given_up(folder / "a", Kind::folder); }
  EXPECT_TRUE(fs::exists(folder / "a/old"));
  TemporaryPath place(folder / "a", Kind::folder);
  write_file(place.path() + "/new", "x");
  EXPECT_TRUE(fs::exists(folder / "a/old"));
  place.publish();
  EXPECT_THAT(names_in(folder), ElementsAre("a"));
  EXPECT_EQ(read_text(folder / "a/new"), "x");
  EXPECT_FALSE(fs::exists(folder / "a/old"));
  write_text(folder / "file", "");
  EXPECT_THAT(message_of<InputError>([&] { TemporaryPath(folder / "file", Kind::folder); }), HasSubstr("not a folder"));
}

TEST(TemporaryFolderPath, RefusesWhatCameInTheMeantime) {
  const TemporaryFolder folder;
  {
    TemporaryPath place(folder / "a", Kind::folder, Existing::refuse);
    fs::create_directory(folder / "a");
    write_text(folder / "a/theirs", "");
    EXPECT_THAT(message_of<InputError>([&] { place.publish(); }), HasSubstr("not empty"));
  }
  EXPECT_THAT(names_in(folder), ElementsAre("a"));
  EXPECT_TRUE(fs::exists(folder / "a/theirs"));
}

TEST(UnnamedFile, KeepsWhatIsWritten) {
  const TemporaryFolder folder;
  const FilePtr file = unnamed_file(folder.path().string());
  ASSERT_NE(file, nullptr);
  EXPECT_THAT(names_in(folder), IsEmpty());
  std::fputs("abc", file.get());
  std::rewind(file.get());
  EXPECT_EQ(std::fgetc(file.get()), 'a');
  EXPECT_EQ(unnamed_file("/nowhere"), nullptr);
  EXPECT_EQ(errno, ENOENT);
}

TEST(FolderLock, IsForOneAtATime) {
  const test::TemporaryFolder folder;
  std::unique_ptr<FolderLock> first = FolderLock::take(folder.path());
  ASSERT_TRUE(first);
  EXPECT_FALSE(FolderLock::take(folder.path()));
  first.reset();
  EXPECT_TRUE(FolderLock::take(folder.path()));
  EXPECT_THROW((void)FolderLock::take(folder / "missing"), InputError);
}

TEST(FolderOf, IsWhereThePathIs) {
  EXPECT_EQ(folder_of("a"), ".");
  EXPECT_EQ(folder_of("x/y/a"), "x/y/");
  EXPECT_EQ(folder_of("/a"), "/");
}

}  // namespace
}  // namespace visage::files
