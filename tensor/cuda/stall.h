#pragma once
#include <source_location>

namespace visage::cuda {

/// A check for the steady state: from the submission of work to its result the host must neither wait for a stream, nor
/// copy ordinary memory to the GPU, nor ask the driver for memory, all of which idle the GPU. While a scope is open on
/// a thread, the first such call of the thread throws CudaError with the scope's name and the place of the call.
/// Waiting for an Event is allowed: that is how a result is awaited. Calls that vendor libraries make inside are not
/// seen. Costs nothing otherwise.
///   const NoStallScope scope("submit a frame");
class NoStallScope {
 public:
  explicit NoStallScope(const char* name);
  ~NoStallScope();
  NoStallScope(const NoStallScope&) = delete;
  NoStallScope& operator=(const NoStallScope&) = delete;

 private:
  const char* previous_;
};

namespace detail {
/// Called before whatever stalls. `what` names the call. throws CudaError inside a NoStallScope.
void about_to_stall(const char* what, std::source_location at = std::source_location::current());
}  // namespace detail

}  // namespace visage::cuda
