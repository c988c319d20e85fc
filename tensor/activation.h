#pragma once
#include <cstdint>

namespace visage {

/// Applied by a kernel to its result before it is stored.
enum class Activation : std::uint8_t { none, relu };

}  // namespace visage
