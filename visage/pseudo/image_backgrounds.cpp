#include "visage/pseudo/image_backgrounds.h"

#include "tensor/error.h"
#include "visage/media/image_file.h"
#include "visage/media/resize.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace visage::pseudo {

namespace fs = std::filesystem;

ImageBackgrounds::ImageBackgrounds(std::string folder) : folder_(std::move(folder)) {
  std::error_code error;
  check<InputError>(fs::is_directory(folder_, error), "", folder_,
                    ": is no folder; name the folder of the backgrounds");
  for (fs::recursive_directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error))
    if (entry->is_regular_file() && media::has_image_extension(entry->path().string()))
      names_.push_back(entry->path().lexically_relative(folder_).generic_string());
  check<InputError>(!error, "", folder_, ": cannot be listed: ", error.message());
  check<InputError>(!names_.empty(), "", folder_, ": holds no images (", media::kImageExtensions,
                    "); name the folder of the backgrounds");
  std::sort(names_.begin(), names_.end());
}

Background ImageBackgrounds::draw(media::Size frame, Random& random) const {
  Random own(random.bits(), 0);
  return load(names_[own.integer(0, size() - 1)], frame);
}

Background ImageBackgrounds::load(const std::string& name, media::Size frame) const {
  check<InputError>(std::binary_search(names_.begin(), names_.end(), name), "", folder_, ": holds no background \"",
                    name, '"');
  return {.image = media::resize(media::read_image((fs::path(folder_) / name).string()), frame), .name = name};
}

}  // namespace visage::pseudo
