#include "nn/checkpoint/file_bytes.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace visage::nn {
namespace {

constexpr std::size_t kLongestPrinted = 100;

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

FileBytes map_file(const std::string& path) {
  // Not blocking: opening a pipe nobody writes to would wait for ever.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  check<InputError>(file.fd >= 0, "", path, ": cannot be opened (", std::strerror(errno),
                    "); check the path and its permissions");
  struct stat status {};
  check<InputError>(::fstat(file.fd, &status) == 0, "", path, ": cannot be examined (", std::strerror(errno), ")");
  check<InputError>(S_ISREG(status.st_mode), "", path, ": is not a regular file; name a weight file");
  check<CheckpointError>(status.st_size > 0, "", path, ": is empty; download or write it again");
  const auto size = static_cast<std::size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.fd, 0);
  check<InputError>(data != MAP_FAILED, "", path, ": cannot be mapped (", std::strerror(errno), ")");
  std::shared_ptr<void> owner(data, [size](void* mapping) { ::munmap(mapping, size); });
  return {path, std::move(owner), static_cast<std::uint8_t*>(data), size};
}

FileBytes file_bytes(std::string path, std::string_view content) {
  auto copy = std::make_shared<Storage>(content.size(), Device{});
  if (!content.empty()) std::memcpy(copy->data(), content.data(), content.size());
  auto* data = static_cast<std::uint8_t*>(copy->data());
  return {std::move(path), std::move(copy), data, content.size()};
}

std::shared_ptr<Storage> storage_of(const FileBytes& file, std::size_t begin, std::size_t bytes,
                                    std::size_t alignment) {
  std::uint8_t* data = file.data + begin;
  if (reinterpret_cast<std::uintptr_t>(data) % alignment == 0)
    return std::make_shared<Storage>(data, bytes, Device{}, file.owner);
  auto copy = std::make_shared<Storage>(bytes, Device{});
  if (bytes) std::memcpy(copy->data(), data, bytes);
  return copy;
}

std::uint64_t little_endian(const std::uint8_t* data, int bytes) {
  std::uint64_t value = 0;
  for (int i = bytes; i-- > 0;) value = value << 8 | data[i];
  return value;
}

bool is_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = p + text.size();
  while (p < end) {
    const unsigned lead = *p++;
    if (lead < 0x80) continue;
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || end - p < more) return false;
    for (int i = 0; i < more; ++i)
      if ((*p++ & 0xc0) != 0x80) return false;
  }
  return true;
}

std::string escaped(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string result;
  for (const char c : text.substr(0, kLongestPrinted)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      result += c;
    } else {
      result += "\\x";
      result += kDigits[byte >> 4];
      result += kDigits[byte & 15];
    }
  }
  if (text.size() > kLongestPrinted) result += "...";
  return result;
}

std::string printable(std::string_view text) {
  std::string result = "'";
  result += escaped(text);
  result += "'";
  return result;
}

std::int64_t checked_numel(const Dims& size, std::size_t element_size) {
  std::int64_t bytes = static_cast<std::int64_t>(element_size);
  bool empty = false;
  for (int i = 0; i < size.rank; ++i) {
    if (size.d[i] < 0) return -1;
    empty |= size.d[i] == 0;
    // An empty tensor's other axes count too: its strides are their products.
    if (size.d[i] > 0 && __builtin_mul_overflow(bytes, size.d[i], &bytes)) return -1;
  }
  return empty ? 0 : bytes / static_cast<std::int64_t>(element_size);
}

}  // namespace visage::nn
