#include "cli/threads.h"

#include "tensor/cpu/parallel.h"
#include "tensor/error.h"

namespace visage::cli {

void check_threads(int threads) {
  check<UsageError>(threads >= 0 && threads <= cpu::most_threads(), "threads must be 1 to ", cpu::most_threads(),
                    ", or 0 for all cores; got ", threads);
}

}  // namespace visage::cli
