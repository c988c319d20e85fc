#pragma once
#include <string>

namespace visage::test {

/// Root of the source tree, for tests that check files of the repository itself.
std::string source_dir();

}  // namespace visage::test
