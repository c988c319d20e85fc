#include "tensor/cuda/stall.h"

#include "tensor/error.h"

#include <utility>

namespace visage::cuda {
namespace {

thread_local const char* open_scope = nullptr;

}  // namespace

NoStallScope::NoStallScope(const char* name) : previous_(std::exchange(open_scope, name)) {}
NoStallScope::~NoStallScope() { open_scope = previous_; }

namespace detail {

void about_to_stall(const char* what, std::source_location at) {
  if (!open_scope) [[likely]]
    return;
  fail<CudaError>({what, at}, ": stalls the GPU where it must not wait (", open_scope, ")");
}

}  // namespace detail
}  // namespace visage::cuda
