#include "tensor/recorder.h"

#include "tensor/allocator.h"
#include "tensor/error.h"
#include "tensor/log.h"

#include <algorithm>
#include <chrono>
#include <utility>

#ifdef VISAGE_CUDA
#include "tensor/cuda/graph.h"
#include "tensor/cuda/range.h"
#include "tensor/cuda/stream.h"
#endif

namespace visage {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

// Host times, and on a GPU an event for each of them.
struct Recorder::Clock {
  explicit Clock(Device d) : device(d), began(seconds_now()) {
#ifdef VISAGE_CUDA
    if (device.type != DeviceType::cuda) return;
    check<UsageError>(!cuda::is_capturing(cuda::current_stream()),
                      "recorder: must be made before the capture of a graph, not within: its clock would not run");
    mark(zero);
#endif
  }

  double elapsed() const { return seconds_now() - began; }

  Device device;
  double began;
#ifdef VISAGE_CUDA
  using Mark = std::unique_ptr<cuda::Event>;
  static void mark(Mark& at) {
    if (cuda::is_capturing(cuda::current_stream())) return;  // such an event would belong to the graph
    at = std::make_unique<cuda::Event>(cuda::Event::Timing::on);
    at->record(cuda::current_stream());
  }
  Mark zero;
  std::vector<std::pair<Mark, Mark>> marks;  // of every span
#endif
};

Recorder::Recorder(Device device) : outer_(current_), clock_(std::make_unique<Clock>(device)) {
  current_ = this;  // last: a clock that cannot be made must leave nothing behind
}

Recorder::~Recorder() { current_ = outer_; }

void Recorder::begin(Span::Kind kind, std::string name) {
  Span span{.kind = kind, .name = std::move(name), .parent = open_.empty() ? -1 : open_.back()};
  if (kind == Span::Kind::op) span.work = std::exchange(announced_, std::nullopt);
  span.memory_before = bytes_in_use(clock_->device);
  open_.push_back(static_cast<int>(spans_.size()));
#ifdef VISAGE_CUDA
  clock_->marks.emplace_back();
  if (clock_->device.type == DeviceType::cuda) Clock::mark(clock_->marks.back().first);
#endif
  span.host_start = clock_->elapsed();
  spans_.push_back(std::move(span));
}

void Recorder::end() noexcept {
  Span& span = spans_[static_cast<std::size_t>(open_.back())];
  span.host_seconds = clock_->elapsed() - span.host_start;
  try {
#ifdef VISAGE_CUDA
    if (clock_->device.type == DeviceType::cuda)
      Clock::mark(clock_->marks[static_cast<std::size_t>(open_.back())].second);
#endif
    span.memory_after = bytes_in_use(clock_->device);
  } catch (const std::exception& error) {
    log::warn("recorder: ", error.what());
  }
  open_.pop_back();
}

std::vector<Span> Recorder::spans() {
  check(open_.empty(), "recorder: ", open_.empty() ? "" : spans_[static_cast<std::size_t>(open_.back())].name,
        " has not ended yet");
  std::vector<Span> ended = spans_;
  for (Span& span : ended) {
    span.start = span.host_start;
    span.seconds = span.host_seconds;
  }
#ifdef VISAGE_CUDA
  for (std::size_t i = 0; i < ended.size() && clock_->device.type == DeviceType::cuda; ++i) {
    const auto& [start, stop] = clock_->marks[i];
    if (!start || !stop) {  // captured: nothing ran
      const int around = ended[i].parent;
      ended[i].start = around < 0 ? 0 : ended[static_cast<std::size_t>(around)].start;
      ended[i].seconds = 0;
      continue;
    }
    stop->synchronize();
    ended[i].start = 1e-3 * static_cast<double>(start->milliseconds_since(*clock_->zero));
    ended[i].seconds = 1e-3 * static_cast<double>(stop->milliseconds_since(*start));
  }
#endif
  return ended;
}

std::string op_name(const std::source_location& where) {
  std::string text = where.function_name();
  const bool local =
      text.find("{anonymous}") != std::string::npos || text.find("(anonymous namespace)") != std::string::npos;
  if (local) {
    text = where.file_name();
    text.erase(0, text.find_last_of('/') + 1);
    return text.substr(0, text.find('.'));
  }
  // A lambda of an op works for the op.
  for (const char* const lambda : {"::<lambda", "::(anonymous class)", "::(lambda"})
    text.erase(std::min(text.find(lambda), text.size()));
  text.erase(std::min(text.find('('), text.size()));
  const std::size_t before = text.find_last_of(":*& ");
  return before == std::string::npos ? text : text.substr(before + 1);
}

namespace detail {

#ifdef VISAGE_CUDA
bool ranges_shown() noexcept { return cuda::ranges_shown(); }
void begin_range(const char* name) noexcept { cuda::begin_range(name); }
void end_range() noexcept { cuda::end_range(); }
#else
bool ranges_shown() noexcept { return false; }
void begin_range(const char*) noexcept {}
void end_range() noexcept {}
#endif

}  // namespace detail
}  // namespace visage
