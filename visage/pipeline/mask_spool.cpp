#include "visage/pipeline/mask_spool.h"

#include "tensor/error.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace visage::pipeline {
namespace {

std::string temporary_folder() {
  const char* folder = std::getenv("TMPDIR");
  return folder && *folder ? folder : "/tmp";
}

files::FilePtr open_file() {
  files::FilePtr file = files::unnamed_file(temporary_folder());
  check<InputError>(file != nullptr, "cannot make a temporary file in ", temporary_folder(), ": ", std::strerror(errno),
                    "; set TMPDIR to a folder with free space");
  return file;
}

}  // namespace

MaskSpool::MaskSpool(int tracks) : tracks_(tracks), file_(open_file()) {}

void MaskSpool::append(const std::vector<std::string>& masks) {
  check<ShapeError>(static_cast<int>(masks.size()) == tracks_, "MaskSpool: ", masks.size(), " masks for ", tracks_,
                    " tracks");
  // A frame is a table with the end of every mask, relative to the end of the table, and the masks.
  std::vector<std::uint32_t> ends;
  std::uint32_t bytes = 0;
  for (const std::string& mask : masks) ends.push_back(bytes += static_cast<std::uint32_t>(mask.size()));
  std::FILE* file = file_.get();
  bool written = std::fseek(file, end_, SEEK_SET) == 0 &&
                 std::fwrite(ends.data(), sizeof(std::uint32_t), ends.size(), file) == ends.size();
  for (const std::string& mask : masks)
    written = written && std::fwrite(mask.data(), 1, mask.size(), file) == mask.size();
  written = written && std::fflush(file) == 0;
  check<InputError>(written, "cannot keep the masks in ", temporary_folder(), ": ", std::strerror(errno),
                    "; set TMPDIR to a folder with free space");
  frame_offsets_.push_back(end_);
  end_ += static_cast<std::int64_t>(ends.size() * sizeof(std::uint32_t)) + bytes;
}

std::string MaskSpool::read(std::int64_t frame, int track) const {
  std::FILE* file = file_.get();
  const auto table = static_cast<std::size_t>(tracks_);
  std::vector<std::uint32_t> ends(table);
  const std::int64_t offset = frame_offsets_.at(static_cast<std::size_t>(frame));
  bool read =
      std::fseek(file, offset, SEEK_SET) == 0 && std::fread(ends.data(), sizeof(std::uint32_t), table, file) == table;
  const std::uint32_t begin = track > 0 ? ends[track - 1] : 0;
  std::string mask(ends[track] - begin, '\0');
  const auto masks = offset + static_cast<std::int64_t>(table * sizeof(std::uint32_t));
  read = read && std::fseek(file, masks + begin, SEEK_SET) == 0 &&
         std::fread(mask.data(), 1, mask.size(), file) == mask.size();
  check<InputError>(read, "cannot read the masks back from ", temporary_folder(), ": ", std::strerror(errno));
  return mask;
}

}  // namespace visage::pipeline
