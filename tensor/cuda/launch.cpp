#include "tensor/cuda/launch.cuh"

#include "tensor/cuda/graph.h"
#include "tensor/error.h"

#include <cstdlib>
#include <sstream>
#include <string>
#include <string_view>

namespace visage::cuda {

bool synchronous_launches() {
  static const bool value = [] {
    const char* text = std::getenv("VISAGE_SYNC_LAUNCHES");
    return text && std::string_view(text) == "1";
  }();
  return value;
}

namespace detail {
namespace {

/// "... [with auto Kernel = visage::ops::{anonymous}::forward_kernel<float>]" -> "forward_kernel<float>"
std::string short_name(std::string_view pretty) {
  const std::size_t at = pretty.find("Kernel = ");
  if (at != std::string_view::npos) pretty = pretty.substr(at + std::string_view("Kernel = ").size());
  pretty = pretty.substr(0, pretty.find(';'));
  if (pretty.ends_with(']')) pretty.remove_suffix(1);
  const std::size_t scope = pretty.substr(0, pretty.find('<')).rfind("::");
  return std::string(scope == std::string_view::npos ? pretty : pretty.substr(scope + 2));
}

std::ostream& operator<<(std::ostream& out, dim3 size) {
  return out << '(' << size.x << ", " << size.y << ", " << size.z << ')';
}

}  // namespace

void after_launch(cudaError_t status, const char* pretty_function, const LaunchShape& shape) {
  if (status == cudaSuccess && synchronous_launches() && !is_capturing(shape.stream)) {
    status = cudaStreamSynchronize(static_cast<cudaStream_t>(shape.stream.raw));
  }
  if (status == cudaSuccess) [[likely]]
    return;
  std::ostringstream what;
  what << "kernel " << short_name(pretty_function) << " with grid " << shape.grid << ", block " << shape.block << ", "
       << shape.shared_bytes << " bytes of shared memory";
  check(status, what.str().c_str(), shape.at);
}

}  // namespace detail
}  // namespace visage::cuda
