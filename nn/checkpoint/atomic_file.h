#pragma once
#include <string>
#include <string_view>

namespace visage::nn {

/// A file that appears under its name only when it is complete: it is written beside it under a temporary name, which
/// goes away if commit() is not reached.
class AtomicFile {
 public:
  /// throws InputError if the folder is missing or cannot be written, or `path` is something else than a file.
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// throws InputError, e.g. when the disk is full.
  void write(std::string_view bytes);
  /// Flushes to the disk and renames. throws InputError.
  void commit();

 private:
  [[noreturn]] void fail_with(int error) const;

  std::string path_, temporary_;
  int fd_ = -1;
};

}  // namespace visage::nn
