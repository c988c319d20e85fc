#pragma once
#include "tensor/view.h"

namespace visage::cuda {

/// The stream this thread's work goes to: the innermost StreamScope, else the device's main stream. It is never the
/// legacy default stream, which cannot be captured in a graph and waits for everything else.
StreamHandle current_stream();

/// Blocks the calling thread until all work of the stream is done.
void synchronize(StreamHandle stream);

/// Owns one non-blocking stream of the current device.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  StreamHandle handle() const { return handle_; }
  void synchronize() const { cuda::synchronize(handle_); }

 private:
  StreamHandle handle_;
};

/// Makes a stream current on this thread for a scope.
class StreamScope {
 public:
  explicit StreamScope(StreamHandle stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  StreamHandle previous_;
};

/// A point in the work of a stream.
class Event {
 public:
  enum class Timing { off, on };
  explicit Event(Timing timing = Timing::off);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Marks the work queued on `stream` so far.
  void record(StreamHandle stream);
  /// Later work of `stream` starts after the mark is reached; the host does not wait.
  void make_wait(StreamHandle stream) const;
  /// Blocks the host until the mark is reached.
  void synchronize() const;
  /// Milliseconds between two recorded and reached events, both with Timing::on.
  float milliseconds_since(const Event& start) const;

 private:
  void* raw_ = nullptr;
};

}  // namespace visage::cuda
