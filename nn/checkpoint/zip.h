#pragma once
#include "nn/checkpoint/file_bytes.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace visage::nn {

struct ZipRecord {
  std::string_view name;
  std::size_t begin = 0;  // of the data in the file
  std::size_t size = 0;
  std::uint32_t crc = 0;
};

/// Directory of a zip file whose records are stored, not compressed, as torch.save writes them. Zip64 is understood.
/// Format: PKWARE APPNOTE 6.3.
class ZipArchive {
 public:
  /// throws CheckpointError if the directory is missing, damaged or inconsistent, or a record is compressed or
  /// encrypted.
  explicit ZipArchive(const FileBytes& file);

  const std::vector<ZipRecord>& records() const { return records_; }
  /// Null when there is no such name.
  const ZipRecord* find(std::string_view name) const;
  /// throws CheckpointError if the data do not have the CRC-32 of the directory.
  void check_crc(const ZipRecord& record) const;

 private:
  struct Directory {
    std::uint64_t begin, size, count;
  };
  Directory find_directory() const;
  Directory read_zip64(std::size_t end_record) const;
  std::size_t read_entry(std::size_t at, std::size_t end);
  void check_overlaps() const;
  std::size_t data_begin(std::string_view name, std::uint64_t local_header, std::uint64_t size) const;

  FileBytes file_;
  std::vector<ZipRecord> records_;
  std::unordered_map<std::string_view, std::size_t> index_;
};

}  // namespace visage::nn
