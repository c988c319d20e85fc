#pragma once
// What MemorySanitizer is told of memory. A value that nobody has written may be computed with and kept in shared
// memory, but not be branched on, used as an address or stored in device memory. These functions do nothing in other
// variants.
#include <cstddef>

namespace simt {

void mark_unwritten(const void* data, std::size_t bytes);
/// For what is written by code that is not instrumented.
void mark_written(const void* data, std::size_t bytes);
/// Reports it if some of the bytes are unwritten.
void check_written(const void* data, std::size_t bytes);

}  // namespace simt
