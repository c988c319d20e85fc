// Memory that nobody has written, as MemorySanitizer is told of it; in the other variants only its fill shows it.
#include "block.h"

#if defined(SIMT_MSAN)
#include <algorithm>
#include <cstdio>
#include <map>
#include <sanitizer/msan_interface.h>

// What the compiler calls before it stores a value of which something is unwritten, and in order to copy a large one.
// The linker sends these calls to the functions named __wrap_ (--wrap).
extern "C" std::uint32_t __real___msan_chain_origin(std::uint32_t origin);
extern "C" void* __real___msan_memcpy(void* to, const void* from, std::size_t bytes);
extern "C" void __msan_set_alloca_origin_with_descr(void* data, std::size_t bytes, std::uint32_t* origin, char* what);

// Host code is not instrumented, so what it writes must not count as unwritten in the first place.
extern "C" const char* __msan_default_options() {
  return "poison_in_malloc=0:poison_in_free=0:poison_in_dtor=0:external_symbolizer_path=" SIMT_ADDR2LINE;
}

namespace simt {
namespace {

/// Origins of the unwritten values that the block has stored, anywhere, with the first thread to do so.
std::map<std::uint32_t, Thread*>& stored() {
  static auto* const instance = new std::map<std::uint32_t, Thread*>;
  return *instance;
}

/// The end of every chain of origins.
std::uint32_t first_origin() {
  static std::uint32_t origin = 0;
  static char name[] = "memory that nobody has written";
  static std::uint32_t any;
  if (!origin) __msan_set_alloca_origin_with_descr(&any, sizeof any, &origin, name);
  return origin;
}

void check_allocation(const char* data, std::size_t bytes) {
  if (__msan_test_shadow(data, bytes) < 0) return;
  constexpr std::size_t kGranule = 4;  // bytes with one origin
  for (std::size_t at = 0; at < bytes; at += kGranule) {
    const auto found = stored().find(__msan_get_origin(data + at));
    const std::size_t count = std::min(kGranule, bytes - at);
    if (found == stored().end() || __msan_test_shadow(data + at, count) < 0) continue;
    current = found->second;
    std::fprintf(stderr, "simt: error: a thread has stored in device memory what nobody has written\n");
    __msan_check_mem_is_initialized(data + at, count);
  }
}

}  // namespace

void mark_unwritten(const void* data, std::size_t bytes) {
  __msan_poison(data, bytes);
  __msan_set_origin(data, bytes, __real___msan_chain_origin(first_origin()));
}
void mark_written(const void* data, std::size_t bytes) { __msan_unpoison(data, bytes); }
void check_written(const void* data, std::size_t bytes) { __msan_check_mem_is_initialized(data, bytes); }

void check_stores() {
  if (stored().empty()) return;
  visit_allocations(&check_allocation);
  stored().clear();
}

void forget_arguments() {
  constexpr std::size_t kWords = 100;  // all there are
  __msan_unpoison_param(kWords);
}

}  // namespace simt

extern "C" std::uint32_t __wrap___msan_chain_origin(std::uint32_t origin) {
  const std::uint32_t mine = __real___msan_chain_origin(origin);
  if (simt::current) simt::stored().emplace(mine, simt::current);
  return mine;
}
extern "C" void* __wrap___msan_memcpy(void* to, const void* from, std::size_t bytes) {
  __real___msan_memcpy(to, from, bytes);
  const std::intptr_t unwritten = simt::current ? __msan_test_shadow(to, bytes) : -1;
  if (unwritten >= 0) simt::stored().emplace(__msan_get_origin(static_cast<char*>(to) + unwritten), simt::current);
  return to;
}

#else

namespace simt {

void mark_unwritten(const void*, std::size_t) {}
void mark_written(const void*, std::size_t) {}
void check_written(const void*, std::size_t) {}
void check_stores() {}
void forget_arguments() {}

}  // namespace simt

#endif
