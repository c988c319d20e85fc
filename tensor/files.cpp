#include "tensor/files.h"

#include "tensor/error.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace visage::files {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".visage-partial";
constexpr int kMostWriters = 100;  // of one target at a time

std::string temporary_name(const std::string& target, int attempt) {
  std::string name = target;
  if (attempt > 0) name.append(1, '.').append(std::to_string(attempt));
  return name.append(kSuffix);
}

// A file descriptor that is closed at the end of the scope.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

bool lock(int descriptor) { return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0; }

// A lock says something about a name only while the name still leads to what was locked.
bool leads_to(const std::string& path, int descriptor) {
  struct stat named {};
  struct stat open {};
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(descriptor, &open) == 0 && named.st_dev == open.st_dev &&
         named.st_ino == open.st_ino;
}

void remove_if_abandoned(const std::string& path) {
  const Descriptor found(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  std::error_code ignored;
  if (found.get() >= 0 && lock(found.get()) && leads_to(path, found.get())) fs::remove_all(path, ignored);
}

int create(const std::string& path, Kind kind) {
  if (kind == Kind::file) return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (::mkdir(path.c_str(), 0777) != 0) return -1;
  const int made = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (made < 0 && errno == ENOENT) errno = EEXIST;  // somebody took it for abandoned
  return made;
}

void write_all(int descriptor, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      cannot_write(path, errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

void cannot_write(const std::string& path, int error) {
  fail<InputError>("", path, ": cannot be written (", std::strerror(error),
                   "); check that the folder exists, may be written and has free space");
}

std::string temporary_name(const std::string& target) { return temporary_name(target, 0); }

bool is_leftover(std::string_view name) { return name.ends_with(kSuffix); }

void remove_leftovers(const std::string& target) {
  for (int attempt = 0; attempt < kMostWriters; ++attempt) remove_if_abandoned(temporary_name(target, attempt));
}

std::unique_ptr<FolderLock> FolderLock::take(const std::string& folder) {
  Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  check<InputError>(opened.get() >= 0, "cannot open the folder ", folder, ": ", std::strerror(errno));
  if (!lock(opened.get()) && errno == EWOULDBLOCK) return nullptr;
  return std::unique_ptr<FolderLock>(new FolderLock(opened.release()));
}

FolderLock::~FolderLock() { ::close(descriptor_); }

TemporaryPath::TemporaryPath(std::string target, Kind kind, Existing existing)
    : target_(std::move(target)), kind_(kind), existing_(existing) {
  check_target();
  open();
}

void TemporaryPath::check_target() const {
  struct stat status {};
  if (::stat(target_.c_str(), &status) != 0) return;
  if (kind_ == Kind::file) {
    check<InputError>(S_ISREG(status.st_mode), "", target_, ": exists and is not a regular file; choose another name");
    return;
  }
  check<InputError>(S_ISDIR(status.st_mode), "", target_, ": exists and is not a folder; choose another name");
  if (existing_ == Existing::replace) return;
  std::error_code error;
  check<InputError>(fs::is_empty(target_, error) && !error, "", target_,
                    ": exists and is not empty; move it away or choose another name");
}

void TemporaryPath::open() {
  for (int attempt = 0; attempt < kMostWriters; ++attempt) {
    path_ = temporary_name(target_, attempt);
    remove_if_abandoned(path_);
    Descriptor made(create(path_, kind_));
    if (made.get() < 0 && errno != EEXIST) cannot_write(target_, errno);
    if (made.get() < 0) continue;
    // Between the two steps another process may have taken it for abandoned. Where the file system has no locks, it
    // cannot.
    const bool held = lock(made.get()) || errno != EWOULDBLOCK;
    if (!held || !leads_to(path_, made.get())) continue;
    descriptor_ = made.release();
    return;
  }
  cannot_write(target_, EEXIST);
}

TemporaryPath::~TemporaryPath() {
  if (descriptor_ < 0) return;
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  ::close(descriptor_);
}

void TemporaryPath::keep() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

void TemporaryPath::publish() {
  const int synced = kind_ == Kind::file ? ::fsync(descriptor_) : ::syncfs(descriptor_);
  if (synced != 0) cannot_write(target_, errno);
  if (kind_ == Kind::folder && existing_ == Existing::replace)
    replace_folder();
  else if (::rename(path_.c_str(), target_.c_str()) != 0)
    cannot_write(target_, errno);
  ::close(std::exchange(descriptor_, -1));
  const Descriptor folder(::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // The rename is done; only its durability after a power cut is in question.
  if (folder.get() >= 0) ::fsync(folder.get());
}

// A folder cannot be renamed over one that is not empty: they change places, or, where the file system cannot do that,
// the old one steps aside.
void TemporaryPath::replace_folder() const {
  if (::rename(path_.c_str(), target_.c_str()) == 0) return;
  if (errno != ENOTEMPTY && errno != EEXIST) cannot_write(target_, errno);
  std::string old = path_;
  if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) != 0) {
    old += ".old";
    if (::rename(target_.c_str(), old.c_str()) != 0) cannot_write(target_, errno);
    if (::rename(path_.c_str(), target_.c_str()) != 0) {
      const int error = errno;
      ::rename(old.c_str(), target_.c_str());
      cannot_write(target_, error);
    }
  }
  std::error_code ignored;
  fs::remove_all(old, ignored);
}

void AtomicFile::write(std::string_view bytes) { write_all(place_.descriptor(), bytes, place_.target()); }

void write_file(const std::string& path, std::string_view bytes) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (file.get() < 0) cannot_write(path, errno);
  write_all(file.get(), bytes, path);
}

FilePtr unnamed_file(const std::string& folder) {
  std::string name = folder + "/XXXXXX" + std::string(kSuffix);
  Descriptor made(::mkostemps(name.data(), static_cast<int>(kSuffix.size()), O_CLOEXEC));
  if (made.get() < 0) return nullptr;
  ::unlink(name.c_str());
  FilePtr file(::fdopen(made.get(), "w+b"));
  if (file) made.release();
  return file;
}

}  // namespace visage::files
