#include "block.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace simt {
namespace {

const char* base_name(const char* path) {
  const char* const slash = std::strrchr(path, '/');
  return slash ? slash + 1 : path;
}

bool waits(const Thread& thread) { return thread.state == State::at_warp || thread.state == State::at_barrier; }

bool alike(const Thread& a, const Thread& b) {
  return a.state == b.state && (!waits(a) || (a.where.line() == b.where.line() &&
                                              std::strcmp(a.where.file_name(), b.where.file_name()) == 0));
}

const char* name_of(State state) {
  switch (state) {
    case State::ready: return "can run";
    case State::at_warp: return "wait for lanes of their warp";
    case State::at_barrier: return "wait at a block barrier";
    case State::exited: return "have exited";
  }
  return "?";
}

}  // namespace

const char* kernel_name(const char* pretty_function) {
  static char name[256];
  const char* const marker = pretty_function ? std::strstr(pretty_function, "Kernel = ") : nullptr;
  if (!marker) return pretty_function ? pretty_function : "kernel";
  const char* start = marker + std::strlen("Kernel = ");
  const char* const end = start + std::strcspn(start, "<;]");
  for (const char* at = start; at + 1 < end; ++at) {
    if (at[0] == ':' && at[1] == ':') start = at + 2;
  }
  std::snprintf(name, sizeof name, "%.*s", static_cast<int>(std::strcspn(start, ";]")), start);
  return name;
}

void describe_current() {
  if (!current) return;
  const Launch& launch = *running_launch;
  std::fprintf(stderr, "simt:   kernel %s, grid (%u, %u, %u), block size (%u, %u, %u)\n", kernel_name(launch.name),
               launch.grid.x, launch.grid.y, launch.grid.z, launch.block.x, launch.block.y, launch.block.z);
  std::fprintf(stderr, "simt:   block (%u, %u, %u), thread (%u, %u, %u)\n", block.index.x, block.index.y, block.index.z,
               current->index.x, current->index.y, current->index.z);
}

void describe_block() {
  if (!current) return;
  for (int i = 0; i < block.thread_count; ++i) {
    const Thread& first = block.threads[i];
    int count = 0;
    bool told = false;
    for (int k = 0; k < block.thread_count; ++k) {
      if (!alike(first, block.threads[k])) continue;
      told = told || k < i;
      ++count;
    }
    if (told) continue;
    std::fprintf(stderr, "simt:   %d threads %s", count, name_of(first.state));
    if (waits(first)) std::fprintf(stderr, " at %s:%u", base_name(first.where.file_name()), first.where.line());
    std::fprintf(stderr, ", the first is (%u, %u, %u)\n", first.index.x, first.index.y, first.index.z);
  }
}

void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fprintf(stderr, "simt: error: ");
  std::vfprintf(stderr, format, arguments);
  std::fprintf(stderr, "\n");
  va_end(arguments);
  describe_current();
  describe_block();
  std::fflush(stderr);
  std::abort();
}

void fail_deadlocked() {
  fail("deadlock: no thread of the block can run; a barrier or a warp collective is not reached by all");
}

}  // namespace simt
