// The host side: device memory, copies, launches.
#include "block.h"
#include "nvtx3/nvToolsExt.h"
#include "streams.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace simt {

namespace {

enum class Kind { device, pinned };
struct Allocation {
  std::size_t bytes;
  Kind kind;
};

struct Runtime {
  std::map<std::uintptr_t, Allocation> allocations;
  std::unordered_map<const void*, int> dynamic_limit;  // by kernel
  std::size_t memory_limit = std::size_t{8} << 30;
  std::size_t in_use = 0;
  cudaError_t last_error = cudaSuccess;
  const char* next_name = nullptr;
  std::string ranges;
  int launches_until_refusal = -1;  // none is to be refused
};

/// Never destroyed: tensors of static lifetime are released after it would be.
Runtime& runtime() {
  static auto* const instance = new Runtime;
  return *instance;
}

/// The allocation that holds the address, or null.
const std::pair<const std::uintptr_t, Allocation>* find(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  auto after = runtime().allocations.upper_bound(address);
  if (after == runtime().allocations.begin()) return nullptr;
  --after;
  const std::size_t bytes = after->second.bytes;
  return address < after->first + bytes ? &*after : nullptr;
}

void check_range(const char* what, const void* pointer, std::size_t bytes, bool must_be_device) {
  const auto* const allocation = find(pointer);
  if (must_be_device && (!allocation || allocation->second.kind != Kind::device)) {
    fail("%s: %p is not device memory", what, pointer);
  }
  if (!must_be_device && allocation && allocation->second.kind == Kind::device) {
    fail("%s: %p is device memory, but the direction of the copy says host", what, pointer);
  }
  if (!allocation) return;
  const std::uintptr_t end = allocation->first + allocation->second.bytes;
  if (reinterpret_cast<std::uintptr_t>(pointer) + bytes > end) {
    fail("%s: %zu bytes at %p run past the end of their allocation of %zu bytes", what, bytes, pointer,
         allocation->second.bytes);
  }
}

bool on_device(const void* pointer) {
  const auto* const allocation = find(pointer);
  return allocation && allocation->second.kind == Kind::device;
}

void check_copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0) return;
  const bool any = kind == cudaMemcpyDefault;
  check_range("copy, destination", to, bytes,
              any ? on_device(to) : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice);
  check_range("copy, source", from, bytes,
              any ? on_device(from) : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice);
}

/// What the host reads counts as written: nothing follows it there.
void copy_bytes(void* to, const void* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
  if (!on_device(to)) mark_written(to, bytes);
}

cudaError_t allocate(void** data, std::size_t bytes, Kind kind) {
  *data = nullptr;
  if (const cudaError_t refused = refuse_in_capture(); refused != cudaSuccess) return refused;
  if (bytes == 0) return cudaSuccess;
  if (kind == Kind::device && bytes > runtime().memory_limit - std::min(runtime().memory_limit, runtime().in_use)) {
    return remember(cudaErrorMemoryAllocation);
  }
  if (posix_memalign(data, 256, bytes) != 0) return remember(cudaErrorMemoryAllocation);
  std::memset(*data, undefined_byte(), bytes);
  if (kind == Kind::device) mark_unwritten(*data, bytes);
  runtime().allocations[reinterpret_cast<std::uintptr_t>(*data)] = {bytes, kind};
  if (kind == Kind::device) runtime().in_use += bytes;
  return cudaSuccess;
}

cudaError_t release(const char* what, void* data) {
  if (!data) return cudaSuccess;
  if (const cudaError_t refused = refuse_in_capture(); refused != cudaSuccess) return refused;
  drain_all();
  const auto found = runtime().allocations.find(reinterpret_cast<std::uintptr_t>(data));
  if (found == runtime().allocations.end()) fail("%s: %p is not the start of a live allocation", what, data);
  if (found->second.kind == Kind::device) runtime().in_use -= found->second.bytes;
  mark_written(data, found->second.bytes);
  runtime().allocations.erase(found);
  std::free(data);
  return cudaSuccess;
}

cudaError_t refuse(const Launch& launch, const char* why) {
  std::fprintf(stderr, "simt: launch of %s refused: %s\n", kernel_name(launch.name), why);
  return remember(cudaErrorInvalidConfiguration);
}

}  // namespace

void visit_allocations(void (*visit)(const char* data, std::size_t bytes)) {
  for (const auto& [start, allocation] : runtime().allocations) {
    visit(reinterpret_cast<const char*>(start), allocation.bytes);
  }
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) runtime().last_error = error;
  return error;
}

void refuse_launch_after(int count) { runtime().launches_until_refusal = count; }

char undefined_byte() {
  static const char byte = [] {
    const char* const text = std::getenv("SIMT_FILL");
    return static_cast<char>(text ? std::strtoul(text, nullptr, 16) : 0xff);
  }();
  return byte;
}

bool is_undefined(float value) {
  float fresh;
  std::memset(&fresh, undefined_byte(), sizeof fresh);
  return std::memcmp(&value, &fresh, sizeof value) == 0;
}

void set_memory_limit(std::size_t bytes) { runtime().memory_limit = bytes; }
std::size_t memory_in_use() { return runtime().in_use; }
std::string take_ranges() { return std::exchange(runtime().ranges, ""); }

void enqueue_host_work(void* stream, std::function<void()> work) {
  enqueue(static_cast<Stream*>(stream), std::move(work));
}
void check_device_range(const char* what, const void* data, std::size_t bytes) { check_range(what, data, bytes, true); }

void name_next_launch(const char* pretty_function) { runtime().next_name = pretty_function; }
const char* take_launch_name() { return std::exchange(runtime().next_name, nullptr); }

/// When the kernel is launched, and again when it runs: a graph may be launched after its memory is gone.
void check_pointers(const Launch& launch) {
  for (std::size_t i = 0; i < launch.pointers.size(); ++i) {
    const void* const pointer = launch.pointers[i];
    if (!pointer || find(pointer)) continue;
    fail("kernel %s: pointer argument %zu (%p) is not device memory", kernel_name(launch.name), i, pointer);
  }
}

cudaError_t allow_dynamic_shared(const void* function, int bytes) {
  if (bytes > 227 * 1024) return remember(cudaErrorInvalidValue);
  runtime().dynamic_limit[function] = bytes;
  return cudaSuccess;
}

int enqueue_launch(Stream* stream, Launch launch) {
  const dim3 grid = launch.grid, size = launch.block;
  check_pointers(launch);
  const std::uint64_t threads = std::uint64_t{size.x} * size.y * size.z;
  if (runtime().launches_until_refusal >= 0 && runtime().launches_until_refusal-- == 0)
    return refuse(launch, "a test asked for it");
  if (threads == 0 || std::uint64_t{grid.x} * grid.y * grid.z == 0) return refuse(launch, "an empty grid or block");
  if (threads > kMaxThreads || size.z > 64) return refuse(launch, "more than 1024 threads in a block");
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) return refuse(launch, "too large a grid");
  const auto limit = runtime().dynamic_limit.find(launch.function);
  if (launch.dynamic_shared_bytes > std::size_t(limit == runtime().dynamic_limit.end() ? 48 * 1024 : limit->second)) {
    return refuse(launch, "more dynamic shared memory than cudaFuncSetAttribute allowed");
  }
  enqueue(stream, [launch = std::move(launch)] {
    check_pointers(launch);
    run_launch(launch);
  });
  return cudaSuccess;
}

}  // namespace simt

using simt::runtime;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorCudartUnloading: return "cudaErrorCudartUnloading";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorIllegalState: return "cudaErrorIllegalState";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnmatched: return "cudaErrorStreamCaptureUnmatched";
    case cudaErrorStreamCaptureUnjoined: return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation: return "cudaErrorStreamCaptureIsolation";
    case cudaErrorCapturedEvent: return "cudaErrorCapturedEvent";
  }
  return "unknown";
}
const char* cudaGetErrorString(cudaError_t) { return "reported by the host harness"; }
cudaError_t cudaGetLastError() { return std::exchange(runtime().last_error, cudaSuccess); }

int nvtxRangePushA(const char* name) {
  runtime().ranges.append(name).append("(");
  return 0;
}
int nvtxRangePop() {
  runtime().ranges.append(")");
  return 0;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : simt::remember(cudaErrorInvalidDevice); }
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = 4; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 227 * 1024; break;
  }
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  *total_bytes = runtime().memory_limit;
  *free_bytes = *total_bytes - std::min(*total_bytes, runtime().in_use);
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** data, std::size_t bytes) { return simt::allocate(data, bytes, simt::Kind::device); }
cudaError_t cudaFree(void* data) { return simt::release("cudaFree", data); }
cudaError_t cudaMallocHost(void** data, std::size_t bytes) { return simt::allocate(data, bytes, simt::Kind::pinned); }
cudaError_t cudaFreeHost(void* data) { return simt::release("cudaFreeHost", data); }

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  simt::check_copy(to, from, bytes, kind);
  if (const cudaError_t refused = simt::refuse_in_capture(); refused != cudaSuccess) return refused;
  simt::drain_all();
  if (bytes) simt::copy_bytes(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  simt::check_copy(to, from, bytes, kind);
  if (bytes == 0) return cudaSuccess;
  const bool from_host = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDefault;
  if (from_host && !simt::find(from) && !stream->capture) {
    // Pageable memory is staged before the call returns; pinned memory is read when the copy really runs.
    const auto* const first = static_cast<const char*>(from);
    const auto staged = std::make_shared<std::vector<char>>(first, first + bytes);
    simt::enqueue(stream, [=] { std::memcpy(to, staged->data(), bytes); });
  } else {
    simt::enqueue(stream, [=] {
      simt::check_copy(to, from, bytes, kind);
      simt::copy_bytes(to, from, bytes);
    });
  }
  return cudaSuccess;
}
cudaError_t cudaMemset(void* data, int value, std::size_t bytes) {
  simt::check_range("cudaMemset", data, bytes, true);
  if (const cudaError_t refused = simt::refuse_in_capture(); refused != cudaSuccess) return refused;
  simt::drain_all();
  std::memset(data, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  simt::check_range("cudaMemsetAsync", data, bytes, true);
  simt::enqueue(stream, [=] {
    simt::check_range("cudaMemsetAsync", data, bytes, true);
    std::memset(data, value, bytes);
  });
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const auto* const allocation = simt::find(pointer);
  *attributes = {};
  if (!allocation) return cudaSuccess;
  const bool device = allocation->second.kind == simt::Kind::device;
  attributes->type = device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
  return cudaSuccess;
}
