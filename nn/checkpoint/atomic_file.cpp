#include "nn/checkpoint/atomic_file.h"

#include "tensor/error.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace visage::nn {

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0)
    check<InputError>(S_ISREG(status.st_mode), "", path_, ": exists and is not a regular file; choose another name");
  const std::string stem = path_ + ".tmp." + std::to_string(::getpid()) + ".";
  // Another writer of this process may use the same target, and a killed run may have left its file behind.
  for (int attempt = 0; attempt < 100 && fd_ < 0; ++attempt) {
    temporary_ = stem + std::to_string(attempt);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST) break;
  }
  if (fd_ < 0) fail_with(errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_with(errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  if (::fsync(fd_) != 0) fail_with(errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with(errno);
  ::close(fd_);
  fd_ = -1;
  const auto slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;  // the rename is done; only its durability after a power cut is in question
  ::fsync(directory);
  ::close(directory);
}

void AtomicFile::fail_with(int error) const {
  fail<InputError>("", path_, ": cannot be written (", std::strerror(error),
                   "); check that the folder exists, may be written and has free space");
}

}  // namespace visage::nn
