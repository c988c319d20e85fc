#pragma once

namespace visage::cli {

/// throws UsageError unless `threads` is 1 to cpu::most_threads(), or 0 for all cores.
void check_threads(int threads);

}  // namespace visage::cli
