// Entry of the host-executed tests.
#include "tensor/cpu/parallel.h"

#include <gtest/gtest.h>

#include <cstdlib>

#if defined(__SANITIZE_THREAD__)
// The first race ends the process, so that a death test sees it. OpenMP is not instrumented, hence one thread.
extern "C" const char* __tsan_default_options() { return "halt_on_error=1:exitcode=66:report_signal_unsafe=0"; }
#endif

int main(int argc, char** argv) {
  // Every tensor its own allocation: only then does a sanitizer see an access beyond or after it.
  setenv("VISAGE_CUDA_CACHE", "0", 0);
  testing::InitGoogleTest(&argc, argv);
  GTEST_FLAG_SET(death_test_style, "threadsafe");
#if defined(__SANITIZE_THREAD__)
  visage::cpu::set_num_threads(1);
#endif
  return RUN_ALL_TESTS();
}
