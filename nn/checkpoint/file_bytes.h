#pragma once
#include "tensor/tensor.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace visage::nn {

/// Bytes of a file, kept alive by whoever holds a copy or a tensor of it.
struct FileBytes {
  std::string path;  // for messages
  std::shared_ptr<void> owner;
  std::uint8_t* data = nullptr;
  std::size_t size = 0;

  std::string_view text() const { return {reinterpret_cast<const char*>(data), size}; }
};

/// Maps a regular file (copy on write). throws InputError if it cannot be opened or is empty.
FileBytes map_file(const std::string& path);
/// The same for bytes in memory, which are copied.
FileBytes file_bytes(std::string path, std::string_view content);

/// `bytes` bytes from `begin` as a storage: a window on the file if `alignment` allows, otherwise a copy.
/// The caller has checked the bounds.
std::shared_ptr<Storage> storage_of(const FileBytes& file, std::size_t begin, std::size_t bytes, std::size_t alignment);

/// Little-endian unsigned integer of `bytes` <= 8 bytes.
std::uint64_t little_endian(const std::uint8_t* data, int bytes);

bool is_utf8(std::string_view text);

/// A name out of a file made fit for a message or a terminal: control characters and other bytes as \xNN, shortened.
std::string escaped(std::string_view text);
/// The same in quotes.
std::string printable(std::string_view text);

/// Product of the sizes, or -1 when one is negative or `count * element_size` does not fit 63 bits.
std::int64_t checked_numel(const Dims& size, std::size_t element_size);

}  // namespace visage::nn
