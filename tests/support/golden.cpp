#include "tests/support/golden.h"

#include <cstdlib>

namespace visage::test {
namespace {

std::string from_environment(const char* variable, const char* folder) {
  const char* value = std::getenv(variable);
  return value && *value ? value : std::string(VISAGE_TEST_DATA "/") + folder;
}

}  // namespace

std::string golden_dir() { return from_environment("VISAGE_GOLDEN_DIR", "golden"); }
std::string golden_eval_dir() { return from_environment("VISAGE_GOLDEN_EVAL_DIR", "golden_eval"); }

}  // namespace visage::test
