#include "visage/pipeline/mask_spool.h"

#include "tensor/error.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace visage::pipeline {
namespace {

std::string temporary_folder() {
  const char* folder = std::getenv("TMPDIR");
  return folder && *folder ? folder : "/tmp";
}

struct TableRow {
  std::int32_t track;
  std::uint32_t end;
};

files::FilePtr open_file() {
  files::FilePtr file = files::unnamed_file(temporary_folder());
  check<InputError>(file != nullptr, "cannot make a temporary file in ", temporary_folder(), ": ", std::strerror(errno),
                    "; set TMPDIR to a folder with free space");
  return file;
}

}  // namespace

MaskSpool::MaskSpool() : file_(open_file()) {}

void MaskSpool::append(std::span<const Entry> masks) {
  // A frame is a table with the track and the end of every mask, relative to the end of the table, and the masks.
  std::vector<TableRow> table;
  std::uint32_t bytes = 0;
  for (const auto& [track, mask] : masks)
    table.push_back({.track = track, .end = bytes += static_cast<std::uint32_t>(mask.size())});
  std::FILE* file = file_.get();
  const auto write = [&](const void* from, std::size_t size) {
    return size == 0 || std::fwrite(from, 1, size, file) == size;
  };
  bool written = std::fseek(file, end_, SEEK_SET) == 0 && write(table.data(), table.size() * sizeof(TableRow));
  for (const Entry& entry : masks) written = written && write(entry.mask.data(), entry.mask.size());
  written = written && std::fflush(file) == 0;
  check<InputError>(written, "cannot keep the masks in ", temporary_folder(), ": ", std::strerror(errno),
                    "; set TMPDIR to a folder with free space");
  frames_.push_back({.offset = end_, .masks = std::ssize(table)});
  end_ += static_cast<std::int64_t>(table.size() * sizeof(TableRow)) + bytes;
}

std::string MaskSpool::read(std::int64_t frame, int track) const {
  const Frame& place = frames_.at(static_cast<std::size_t>(frame));
  if (place.masks == 0) return {};
  std::FILE* file = file_.get();
  std::vector<TableRow> table(static_cast<std::size_t>(place.masks));
  bool read = std::fseek(file, place.offset, SEEK_SET) == 0 &&
              std::fread(table.data(), sizeof(TableRow), table.size(), file) == table.size();
  const auto row = std::ranges::lower_bound(table, track, {}, &TableRow::track);
  if (read && (row == table.end() || row->track != track)) return {};
  std::string mask;
  if (read) {
    const std::uint32_t begin = row == table.begin() ? 0 : std::prev(row)->end;
    mask.resize(row->end - begin);
    const auto masks = place.offset + static_cast<std::int64_t>(table.size() * sizeof(TableRow));
    read =
        std::fseek(file, masks + begin, SEEK_SET) == 0 && std::fread(mask.data(), 1, mask.size(), file) == mask.size();
  }
  check<InputError>(read, "cannot read the masks back from ", temporary_folder(), ": ", std::strerror(errno));
  return mask;
}

}  // namespace visage::pipeline
