#pragma once
// What tests set on the harness, and what the stand-ins for vendor libraries need of it; kernels never see this.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace simt {

/// Which ready thread of a block runs next. A correct kernel gives the same result under each.
enum class Schedule { forward, reverse, random };
/// Default: SIMT_SCHEDULE=forward|reverse|random in the environment, else forward. Returns the previous one.
Schedule set_schedule(Schedule schedule, std::uint64_t seed = 1);

/// Eager streams run work when it is queued; lazy ones only when something waits for it, which shows every missing
/// synchronisation. Default: SIMT_STREAMS=eager|lazy in the environment, else eager. Returns the previous one.
enum class Streams { eager, lazy };
Streams set_streams(Streams streams);

/// Device memory that can be allocated in all; default 8 GiB.
void set_memory_limit(std::size_t bytes);

/// Device bytes allocated and not freed.
std::size_t memory_in_use();

/// The launch after the next `count` ones is refused, as by a driver that is out of resources.
void refuse_launch_after(int count);

/// Whether the value is what fresh memory holds, which nobody has written.
bool is_undefined(float value);

/// Runs `work` on the host in the order of a cudaStream_t.
void enqueue_host_work(void* stream, std::function<void()> work);

/// Ends the program unless [data, data + bytes) lies in one allocation of device memory.
void check_device_range(const char* what, const void* data, std::size_t bytes);

/// The NVTX ranges since the last call, in the form "outer(inner()inner())".
std::string take_ranges();

}  // namespace simt
