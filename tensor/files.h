#pragma once
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

/// Files and folders that appear under their name only when they are complete. Until then they lie beside it under a
/// temporary name, NAME.visage-partial, which their writer keeps locked: what no process holds was left by one that was
/// killed, and goes away when the next writer of NAME, or remove_leftovers(), comes by.
namespace visage::files {

/// What to do with what is there already.
enum class Existing { refuse, replace };
enum class Kind { file, folder };

/// The first temporary name of `target`; a second writer at the same time gets NAME.1.visage-partial.
std::string temporary_name(const std::string& target);
/// Whether a file or folder of this name can only be something unfinished.
bool is_leftover(std::string_view name);
/// Removes what killed writers of `target` left.
void remove_leftovers(const std::string& target);

/// An empty file or folder under a temporary name.
class TemporaryPath {
 public:
  /// throws InputError if the folder above is missing or cannot be written, or `target` is something that publish()
  /// will not replace: other than a regular file or, for a folder, other than an empty folder (any folder with
  /// Existing::replace).
  TemporaryPath(std::string target, Kind kind, Existing existing = Existing::replace);
  /// Removes it with everything in it, unless it is published or kept.
  ~TemporaryPath();
  TemporaryPath(const TemporaryPath&) = delete;
  TemporaryPath& operator=(const TemporaryPath&) = delete;

  const std::string& path() const { return path_; }
  const std::string& target() const { return target_; }
  /// Of the open file or folder.
  int descriptor() const { return descriptor_; }

  /// Flushes it to the disk, once, with everything in it, and gives it its name. What had the name before is gone only
  /// afterwards. throws InputError, and then the old one is still there.
  void publish();
  /// Leaves it under its temporary name.
  void keep();

 private:
  void open();
  void replace_folder() const;
  void check_target() const;

  std::string target_, path_;
  Kind kind_;
  Existing existing_;
  int descriptor_ = -1;
};

/// A folder that this process has for itself among those that ask, until it is destroyed or the process ends.
class FolderLock {
 public:
  /// Null if another process has the folder. throws InputError if it cannot be opened. Where the file system knows no
  /// locks, nobody is kept out.
  static std::unique_ptr<FolderLock> take(const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

/// A file written from front to back.
class AtomicFile {
 public:
  /// throws as TemporaryPath.
  explicit AtomicFile(std::string path) : place_(std::move(path), Kind::file) {}

  /// Hands the bytes to the system; other processes see them under temporary_path(). throws InputError, e.g. when the
  /// disk is full.
  void write(std::string_view bytes);
  /// Publishes it. throws InputError.
  void commit() { place_.publish(); }
  /// Leaves what was written under its temporary name, for a writer that did not get to commit().
  void keep() { place_.keep(); }
  const std::string& temporary_path() const { return place_.path(); }

 private:
  TemporaryPath place_;
};

/// Writes a whole file under its name, without waiting for the disk: for files in a folder that is published later.
/// throws InputError.
void write_file(const std::string& path, std::string_view bytes);

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using FilePtr = std::unique_ptr<std::FILE, CloseFile>;

/// A file without a name in `folder`, for reading and writing, that vanishes with the process. Null, with the reason in
/// errno, where that is not possible.
FilePtr unnamed_file(const std::string& folder);

/// Folder of a path, "." when it names none.
std::string folder_of(const std::string& path);

/// throws InputError: `path` cannot be written, for the reason `error` (of errno).
[[noreturn]] void cannot_write(const std::string& path, int error);

}  // namespace visage::files
