#pragma once
#include <string>

namespace visage::test {

/// Folder of the recorded reference numbers: VISAGE_GOLDEN_DIR, or tests/data/golden of the source tree.
std::string golden_dir();
/// Folder of the evaluator's reference numbers: VISAGE_GOLDEN_EVAL_DIR, or tests/data/golden_eval.
std::string golden_eval_dir();

}  // namespace visage::test
