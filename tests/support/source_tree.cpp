#include "tests/support/source_tree.h"

namespace visage::test {

std::string source_dir() { return VISAGE_TEST_DATA "/../.."; }

}  // namespace visage::test
