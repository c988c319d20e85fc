// Shared memory of the running block: one arena, in which every variable has a red zone before and behind it. Content
// is undefined at the start, so it is filled with undefined_byte().
#include "block.h"

#include <algorithm>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace simt {

std::uint64_t block_serial = 0;

namespace {

constexpr std::size_t kStaticLimit = 48 * 1024;
constexpr int kMaxVariables = 64;
constexpr std::size_t kRedZone = 128;

struct Variable {
  const void* key;
  void* address;
};

// Under TSan the blocks of a batch get different arenas, else reuse would look like a race between them.
#if defined(SIMT_TSAN)
constexpr int kArenas = kBatchBlocks;
#else
constexpr int kArenas = 1;
#endif
char* arenas[kArenas];
char* arena = nullptr;  // of the running block
std::size_t capacity = 0;
std::size_t used = 0;
std::size_t static_bytes = 0;
std::size_t dynamic_bytes = 0;
void* dynamic_address = nullptr;
Variable variables[kMaxVariables];
int variable_count = 0;
/// Not memset, which ThreadSanitizer intercepts even in code that it does not instrument.
__attribute__((optimize("no-tree-loop-distribute-patterns"))) void fill_undefined(char* data, std::size_t bytes) {
  const char fill = undefined_byte();
  for (std::size_t i = 0; i < bytes; ++i) data[i] = fill;
}

void* carve(std::size_t bytes, std::size_t align) {
  const std::size_t start = (used + kRedZone + align - 1) / align * align;
  if (start + bytes + kRedZone > capacity) fail("shared memory: more than fits");
  used = start + bytes;
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(arena + start, bytes);
#endif
  fill_undefined(arena + start, bytes);
  mark_unwritten(arena + start, bytes);
  return arena + start;
}

}  // namespace

void prepare_shared_memory(std::size_t bytes) {
  dynamic_bytes = bytes;
  const std::size_t wanted = (kStaticLimit + bytes + 2 * kRedZone * (kMaxVariables + 2)) / 256 * 256;
  if (wanted <= capacity) return;
  for (char*& memory : arenas) {
#if defined(__SANITIZE_ADDRESS__)
    if (memory) ASAN_UNPOISON_MEMORY_REGION(memory, capacity);
#endif
    if (memory) mark_written(memory, capacity);
    std::free(memory);
    memory = static_cast<char*>(std::aligned_alloc(256, wanted));
  }
  capacity = wanted;
}

void reset_shared_memory(std::uint64_t block_number) {
  ++block_serial;
  arena = arenas[block_number % kArenas];
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(arena, capacity);
#endif
  used = static_bytes = 0;
  dynamic_address = nullptr;
  variable_count = 0;
}

void* allocate_shared(const void* key, std::size_t bytes, std::size_t align) {
  if (!current) fail("a shared variable is used outside a kernel");
  for (int i = 0; i < variable_count; ++i) {
    if (variables[i].key == key) return variables[i].address;
  }
  static_bytes += (bytes + 15) / 16 * 16;
  if (static_bytes > kStaticLimit) fail("static shared memory: %zu bytes, more than 48 KiB", static_bytes);
  if (variable_count == kMaxVariables) fail("more than %d shared variables", kMaxVariables);
  void* const address = carve(bytes, std::max<std::size_t>(align, 16));
  variables[variable_count++] = {key, address};
  return address;
}

void check_shared_access(const char* what, const void* address) {
  const char* const at = static_cast<const char*>(address);
  if (at < arena || at + 16 > arena + used) fail("%s: %p is not shared memory", what, address);
  if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) fail("%s: %p is not aligned to 16 bytes", what, address);
}

void* dynamic_shared() {
  if (!current) fail("shared memory is used outside a kernel");
  if (!dynamic_address) dynamic_address = carve(dynamic_bytes, 128);
  return dynamic_address;
}

}  // namespace simt
