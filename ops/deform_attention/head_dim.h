#pragma once
#include <cstdint>
#include <type_traits>

namespace visage::ops {

/// Calls fn(std::integral_constant<int, dim>) for the sizes of a head that models have, so that its sums stay in
/// registers, and with 0 for every other size.
template <class Fn>
void for_head_dim(std::int64_t dim, Fn&& fn) {
  switch (dim) {
    case 16: return fn(std::integral_constant<int, 16>{});
    case 24: return fn(std::integral_constant<int, 24>{});
    case 32: return fn(std::integral_constant<int, 32>{});
    default: return fn(std::integral_constant<int, 0>{});
  }
}

}  // namespace visage::ops
