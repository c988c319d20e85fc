#include "tensor/error.h"
#include "tensor/log.h"
#include "visage/media/image_file.h"
#include "visage/media/natural_order.h"
#include "visage/media/sources.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <thread>
#include <utility>

namespace visage::media {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// An image that stays incomplete this long after another one came is damaged, not late: writers with several threads
// finish out of order.
constexpr Seconds kGrace(2);
// Between two looks at the folder; longer where a look takes long, so that waiting costs a fifth of a core at most.
constexpr Seconds kShortestPause(0.02), kLongestPause(0.5);

struct Arrival {
  std::string file;
  Image image;
};

/// Images that another program writes one after another.
class Arrivals {
 public:
  Arrivals(ListImages list, const SourceOptions& options)
      : list_(std::move(list)), name_(options.path), follow_(*options.follow), stop_(options.stop) {}

  /// The next image in natural order, once it is complete; nothing when none came for so long, or when stopped. Throws
  /// as read_image() for one that does not become complete.
  std::optional<Arrival> next() {
    std::string expected;
    Clock::time_point since = Clock::now();
    while (!stop_ || !stop_()) {
      const Clock::time_point now = Clock::now();
      look();
      if (waiting_.empty() && now - since > follow_) return std::nullopt;
      if (!waiting_.empty()) {
        if (std::exchange(expected, waiting_.front()) != waiting_.front()) since = now;
        try {
          return take(read_image(expected));
        } catch (const InputError&) {
          if (now - since > (waiting_.size() > 1 ? std::min(follow_, kGrace) : follow_)) throw;
        }
        waiting_.clear();  // it may be gone: a temporary name
      } else if (last_.empty() && !std::exchange(told_, true)) {
        log::info("waiting for images: ", name_);
      }
      std::this_thread::sleep_for(std::clamp<Seconds>(4 * (Clock::now() - now), kShortestPause, kLongestPause));
    }
    return std::nullopt;
  }

 private:
  /// Lists the images after the last one taken, where none is known.
  void look() {
    if (!waiting_.empty()) return;
    std::vector<std::string> files = list_();
    const auto later = [this](const std::string& file) { return natural_less(last_, file); };
    const auto next = std::partition(files.begin(), files.end(), std::not_fn(later));
    std::sort(next, files.end(), natural_less);
    const int64_t passed = next - files.begin();
    if (passed > passed_ && !std::exchange(warned_, true))
      log::warn(name_, ": images came that are before ", std::filesystem::path(last_).filename().string(),
                ", the last one taken, in natural order; such late images are passed over");
    passed_ = passed;
    waiting_.assign(next, files.end());
  }

  Arrival take(Image image) {
    last_ = std::move(waiting_.front());
    waiting_.pop_front();
    ++passed_;
    return {last_, std::move(image)};
  }

  ListImages list_;
  std::string name_;
  Seconds follow_;
  std::function<bool()> stop_;
  std::deque<std::string> waiting_;  // after last_, in order
  std::string last_;                 // taken
  int64_t passed_ = 0;               // images up to last_ that are known
  bool told_ = false, warned_ = false;
};

class GrowingImages final : public FrameSource {
 public:
  GrowingImages(FrameInfo info, Arrivals arrivals, Arrival first, const SourceOptions& options)
      : FrameSource(std::move(info), options),
        arrivals_(std::move(arrivals)),
        first_file_(first.file),
        first_(std::move(first)) {}

  std::vector<std::string> files() const override { return {first_file_}; }

 private:
  std::optional<Frame> read(int64_t position) override {
    std::optional<Arrival> arrival = first_ ? std::exchange(first_, std::nullopt) : arrivals_.next();
    if (!arrival) return std::nullopt;
    return Frame{std::move(arrival->image), std::filesystem::path(arrival->file).filename().string(), position};
  }

  /// What comes before the first frame was passed over to find it.
  bool skip(int64_t position) override { return first_ || FrameSource::skip(position); }

  Arrivals arrivals_;
  std::string first_file_;
  std::optional<Arrival> first_;
};

}  // namespace

std::unique_ptr<FrameSource> open_growing_images(ListImages list, const SourceOptions& options) {
  Arrivals arrivals(std::move(list), options);
  std::optional<Arrival> first;
  for (int64_t position = 0; position <= options.start; ++position) {
    first = arrivals.next();
    check<InputError>(first.has_value(), "waited for image ", position, " of ", options.path, ", but none came for ",
                      *options.follow, " s; files ending in ", kImageExtensions, " are read");
  }
  FrameInfo info{folder_name(first->file), first->image.size(), kDefaultFps, std::nullopt};
  return std::make_unique<GrowingImages>(std::move(info), std::move(arrivals), *std::move(first), options);
}

}  // namespace visage::media
