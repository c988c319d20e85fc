#include "visage/media/image_file.h"
#include "visage/media/sources.h"

#include <filesystem>
#include <utility>

namespace visage::media {
namespace {

class ImageSequence final : public FrameSource {
 public:
  ImageSequence(FrameInfo info, std::vector<std::string> files, const SourceOptions& options)
      : FrameSource(std::move(info), options), files_(std::move(files)) {}

  std::vector<std::string> files() const override { return files_; }

 private:
  std::optional<Frame> read(int64_t position) override {
    if (!has(position)) return std::nullopt;
    const std::string& file = files_[position];
    return Frame{read_image(file), std::filesystem::path(file).filename().string(), position};
  }

  bool skip(int64_t position) override { return has(position); }

  bool has(int64_t position) const { return position < static_cast<int64_t>(files_.size()); }

  std::vector<std::string> files_;
};

}  // namespace

std::unique_ptr<FrameSource> open_images(const std::string& clip_name, std::vector<std::string> files,
                                         const SourceOptions& options) {
  const int64_t count = static_cast<int64_t>(files.size());
  // The first image that will be returned sets the size; past the end next() explains.
  const std::string& first = files[options.start < count ? options.start : 0];
  FrameInfo info{clip_name, read_image_size(first), kDefaultFps, count};
  return std::make_unique<ImageSequence>(std::move(info), std::move(files), options);
}

}  // namespace visage::media
