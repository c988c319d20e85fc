#pragma once
#include <cstddef>
#include <filesystem>
#include <string>

namespace visage::test {

/// A file or folder of tests/data in the source tree.
std::string data_path(const std::string& relative);

/// A new empty folder that is removed with everything in it at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Path of a file in the folder.
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Whole files. Both throw std::runtime_error naming the file when that fails.
std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& content);

/// what() of the E that fn() throws; a text that says so when it throws nothing or something else.
template <class E, class F>
std::string message_of(F&& fn) {
  try {
    fn();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("(another exception) ") + error.what();
  }
  return "(nothing was thrown)";
}

}  // namespace visage::test
