#pragma once
#include "tensor/device.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

namespace visage {

/// What an op has to do at least: bytes it must move (every input read once, every output written once) and
/// floating-point operations (a multiply-add counts two).
struct Work {
  double bytes = 0, flops = 0;
};

/// One stage or op that a Recorder saw.
struct Span {
  enum class Kind { stage, op };

  Kind kind = Kind::stage;
  std::string name;
  int parent = -1;                          // index of the span around it, which begins before and ends after it
  double host_start = 0, host_seconds = 0;  // on the CPU; for a GPU the time it takes to submit the work
  double start = 0, seconds = 0;            // on the device of the data; for the CPU the same
  std::optional<Work> work;                 // of an op that says it
  std::size_t memory_before = 0, memory_after = 0;  // bytes the device's allocator has handed out
};

/// Records the stages and ops of one thread while it lives. On a GPU an event is recorded before and after each; work
/// that is being captured into a graph does not run and counts no time. Recorders of a thread nest; the innermost
/// records.
class Recorder {
 public:
  /// `device`: where the data are, whose clock and memory count. The clock begins now. throws UsageError while the
  /// current stream of that device is being captured.
  explicit Recorder(Device device);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// The recorder of this thread, usually null. Reading it is all that unrecorded work costs.
  static Recorder* current() { return current_; }

  void begin(Span::Kind kind, std::string name);
  void end() noexcept;
  /// Belongs to the next op that begins.
  void announce(const Work& work) { announced_ = work; }

  /// Everything so far, in the order of its beginning. Waits for the device. throws Error while a span is open.
  [[nodiscard]] std::vector<Span> spans();

 private:
  struct Clock;
  static inline constinit thread_local Recorder* current_ = nullptr;

  Recorder* const outer_;
  const std::unique_ptr<Clock> clock_;
  std::vector<Span> spans_;
  std::vector<int> open_;
  std::optional<Work> announced_;
};

/// What code at this place is called in a profile: its function, without namespaces and parameters ("layer_norm"); for
/// a function that only its file knows, the file ("layer_norm" again, of ops/norm/layer_norm.cpp).
[[nodiscard]] std::string op_name(const std::source_location& where);

namespace detail {
/// The same spans for a GPU profiler (tensor/cuda/range.h). Never shown in a build without CUDA.
bool ranges_shown() noexcept;
void begin_range(const char* name) noexcept;
void end_range() noexcept;
}  // namespace detail

/// An op, for the recorder of the thread and for a GPU profiler. Its name is made only if one of them is there.
class OpScope {
 public:
  explicit OpScope(const char* name) : recorder_(Recorder::current()), shown_(detail::ranges_shown()) {
    if (recorder_) recorder_->begin(Span::Kind::op, name);
    if (shown_) detail::begin_range(name);
  }
  explicit OpScope(const std::source_location& where) : recorder_(Recorder::current()), shown_(detail::ranges_shown()) {
    if (recorder_) recorder_->begin(Span::Kind::op, op_name(where));
    if (shown_) detail::begin_range(op_name(where).c_str());
  }
  ~OpScope() {
    if (shown_) detail::end_range();
    if (recorder_) recorder_->end();
  }
  OpScope(const OpScope&) = delete;
  OpScope& operator=(const OpScope&) = delete;

 private:
  Recorder* const recorder_;
  const bool shown_;
};

}  // namespace visage
