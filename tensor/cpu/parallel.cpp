#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <thread>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace visage::cpu {

int most_threads() { return std::max(64, 4 * static_cast<int>(std::thread::hardware_concurrency())); }

void limit_spinning(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv("/proc/self/exe", argv);
  // Where that is not possible the program runs as it is, with more spinning.
}

#ifndef _OPENMP  // a compiler without it runs everything on one thread

int num_threads() { return 1; }
void set_num_threads(int) {}

namespace detail {

void run(std::int64_t count, std::int64_t, Body body, void* context) {
  if (count > 0) body(context, 0, count);
}

}  // namespace detail

#else

int num_threads() { return omp_get_max_threads(); }
void set_num_threads(int count) { omp_set_num_threads(std::clamp(count, 1, most_threads())); }

namespace detail {

void run(std::int64_t count, std::int64_t grain, Body body, void* context) {
  if (count <= 0) return;
  const std::int64_t most = std::max<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1);
  const int threads = static_cast<int>(std::min<std::int64_t>(num_threads(), most));
  if (threads == 1 || omp_in_parallel()) return body(context, 0, count);
  std::exception_ptr error;
#pragma omp parallel num_threads(threads)
  {
    const std::int64_t team = omp_get_num_threads();
    const std::int64_t me = omp_get_thread_num();
    try {
      body(context, count * me / team, count * (me + 1) / team);
    } catch (...) {
#pragma omp critical(visage_parallel_error)
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace detail

#endif

}  // namespace visage::cpu
