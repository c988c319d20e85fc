#pragma once
// Queues of work on the host side, and graphs captured from them.
#include "simt/control.h"
#include "simt/runtime_api.h"

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace simt {

/// What the streams of one capture have queued so far, in an order that respects their dependencies.
struct Capture {
  Stream* origin = nullptr;
  std::vector<Stream*> streams;
  std::vector<std::function<void()>> nodes;
  bool valid = true;
};

struct Stream {
  std::deque<std::function<void()>> work;
  std::shared_ptr<Capture> capture;  // null unless the stream takes part in one
  int captured = 0;                  // nodes it has added
  bool joined = true;                // another stream waits for the last of them
};

/// One recording of an event.
struct Mark {
  bool reached = false;
  Stream* stream = nullptr;
  std::shared_ptr<Capture> capture;  // null if recorded outside one
  int captured = 0;                  // nodes of the stream before it
  std::chrono::steady_clock::time_point time;
};
struct Event {
  std::shared_ptr<Mark> last;
};

/// Remembered for cudaGetLastError.
cudaError_t remember(cudaError_t error);

/// Runs, queues or captures work.
void enqueue(Stream* stream, std::function<void()> work);
/// Runs what is queued.
void drain_all();

/// cudaSuccess, or an error that ends the capture under way: for calls that wait for the device or change its memory.
cudaError_t refuse_in_capture();

}  // namespace simt
