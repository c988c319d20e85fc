#include "nn/checkpoint/zip.h"

#include <zlib.h>

#include <algorithm>

namespace visage::nn {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50, kEntry = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                        kLocator64 = 0x07064b50;
constexpr std::size_t kLocalHeaderBytes = 30, kEntryBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20;
constexpr std::size_t kLongestComment = 0xffff;
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint32_t kIn64 = 0xffffffff;  // the true value is in the zip64 extra field
constexpr std::uint16_t kEncrypted = 1;
constexpr const char* kRemedy = "; download or save the file again";

std::uint16_t u16(const std::uint8_t* p) { return static_cast<std::uint16_t>(little_endian(p, 2)); }
std::uint32_t u32(const std::uint8_t* p) { return static_cast<std::uint32_t>(little_endian(p, 4)); }
std::uint64_t u64(const std::uint8_t* p) { return little_endian(p, 8); }

struct Entry64 {
  std::uint64_t size, stored, offset;
};

/// Replaces those fields that did not fit 32 bits. False if the extra field lacks one.
bool read_zip64_extra(const std::uint8_t* extra, std::size_t bytes, Entry64& entry) {
  if (entry.size != kIn64 && entry.stored != kIn64 && entry.offset != kIn64) return true;
  for (std::size_t at = 0; at + 4 <= bytes;) {
    const std::size_t length = u16(extra + at + 2);
    if (at + 4 + length > bytes) return false;
    if (u16(extra + at) == kZip64Extra) {
      std::size_t next = at + 4;
      const std::size_t end = next + length;
      for (std::uint64_t* field : {&entry.size, &entry.stored, &entry.offset}) {
        if (*field != kIn64) continue;
        if (next + 8 > end) return false;
        *field = u64(extra + next);
        next += 8;
      }
      return true;
    }
    at += 4 + length;
  }
  return false;
}

}  // namespace

ZipArchive::ZipArchive(const FileBytes& file) : file_(file) {
  const Directory directory = find_directory();
  check<CheckpointError>(directory.begin <= file_.size && directory.size <= file_.size - directory.begin, "",
                         file_.path, ": the zip directory lies outside the file (truncated?)", kRemedy);
  check<CheckpointError>(directory.count <= directory.size / kEntryBytes, "", file_.path,
                         ": the zip directory is too short for its ", directory.count, " records", kRemedy);
  records_.reserve(directory.count);
  std::size_t at = directory.begin;
  for (std::uint64_t i = 0; i < directory.count; ++i) at = read_entry(at, directory.begin + directory.size);
  check_overlaps();
}

// Records that share bytes let a small file hold any amount of data.
void ZipArchive::check_overlaps() const {
  std::vector<const ZipRecord*> order;
  for (const ZipRecord& record : records_) order.push_back(&record);
  std::sort(order.begin(), order.end(), [](const ZipRecord* a, const ZipRecord* b) {
    return std::pair(a->begin, a->size) < std::pair(b->begin, b->size);
  });
  for (std::size_t i = 1; i < order.size(); ++i)
    check<CheckpointError>(order[i - 1]->begin + order[i - 1]->size <= order[i]->begin, "", file_.path, ": record ",
                           printable(order[i]->name), " overlaps another one", kRemedy);
}

const ZipRecord* ZipArchive::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &records_[found->second];
}

void ZipArchive::check_crc(const ZipRecord& record) const {
  const auto crc = crc32_z(0, file_.data + record.begin, record.size);
  check<CheckpointError>(crc == record.crc, "", file_.path, ": record ", printable(record.name),
                         " is corrupt (its CRC-32 differs from the zip directory's)", kRemedy);
}

ZipArchive::Directory ZipArchive::find_directory() const {
  check<CheckpointError>(file_.size >= kEndBytes, "", file_.path, ": the zip file is truncated", kRemedy);
  const std::size_t last = file_.size - kEndBytes;
  const std::size_t first = last - std::min(last, kLongestComment);
  for (std::size_t at = last + 1; at-- > first;) {
    const std::uint8_t* p = file_.data + at;
    if (u32(p) != kEnd || at + kEndBytes + u16(p + 20) != file_.size) continue;
    if (at >= kLocatorBytes && u32(p - kLocatorBytes) == kLocator64) return read_zip64(at);
    return {u32(p + 16), u32(p + 12), u16(p + 10)};
  }
  fail<CheckpointError>("", file_.path, ": the zip file has no directory at its end (truncated?)", kRemedy);
}

ZipArchive::Directory ZipArchive::read_zip64(std::size_t end_record) const {
  const std::uint64_t at = u64(file_.data + end_record - kLocatorBytes + 8);
  const bool fits = end_record >= kEnd64Bytes && at <= end_record - kEnd64Bytes && u32(file_.data + at) == kEnd64;
  check<CheckpointError>(fits, "", file_.path, ": the zip64 directory record is damaged", kRemedy);
  const std::uint8_t* p = file_.data + at;
  return {u64(p + 48), u64(p + 40), u64(p + 32)};
}

std::size_t ZipArchive::read_entry(std::size_t at, std::size_t end) {
  const std::uint8_t* p = file_.data + at;
  check<CheckpointError>(end - at >= kEntryBytes && u32(p) == kEntry, "", file_.path, ": the zip directory is damaged",
                         kRemedy);
  const std::size_t name_bytes = u16(p + 28), extra_bytes = u16(p + 30), comment_bytes = u16(p + 32);
  const std::size_t next = at + kEntryBytes + name_bytes + extra_bytes + comment_bytes;
  check<CheckpointError>(next <= end, "", file_.path, ": the zip directory is damaged", kRemedy);
  const std::string_view name(reinterpret_cast<const char*>(p + kEntryBytes), name_bytes);
  check<CheckpointError>(!(u16(p + 8) & kEncrypted), "", file_.path, ": record ", printable(name),
                         " is encrypted; save it without a password");
  check<CheckpointError>(u16(p + 10) == 0, "", file_.path, ": record ", printable(name),
                         " is compressed; PyTorch stores records plainly, pack the file with `zip -0`");
  Entry64 entry{u32(p + 24), u32(p + 20), u32(p + 42)};
  const bool complete = read_zip64_extra(p + kEntryBytes + name_bytes, extra_bytes, entry);
  check<CheckpointError>(complete && entry.size == entry.stored, "", file_.path, ": record ", printable(name),
                         " has inconsistent sizes", kRemedy);
  check<CheckpointError>(index_.emplace(name, records_.size()).second, "", file_.path, ": record ", printable(name),
                         " occurs twice", kRemedy);
  records_.push_back({name, data_begin(name, entry.offset, entry.size), entry.size, u32(p + 16)});
  return next;
}

std::size_t ZipArchive::data_begin(std::string_view name, std::uint64_t local_header, std::uint64_t size) const {
  const auto require = [&](bool ok) {
    check<CheckpointError>(ok, "", file_.path, ": record ", printable(name), " lies outside the file or is damaged",
                           kRemedy);
  };
  require(local_header <= file_.size && file_.size - local_header >= kLocalHeaderBytes);
  const std::uint8_t* p = file_.data + local_header;
  require(u32(p) == kLocalHeader);
  const std::size_t name_bytes = u16(p + 26), extra_bytes = u16(p + 28);
  const std::uint64_t begin = local_header + kLocalHeaderBytes + name_bytes + extra_bytes;
  require(begin <= file_.size && size <= file_.size - begin);
  // Readers that trust the local header and those that trust the directory have to see the same record.
  require(file_.text().substr(local_header + kLocalHeaderBytes, name_bytes) == name);
  return begin;
}

}  // namespace visage::nn
