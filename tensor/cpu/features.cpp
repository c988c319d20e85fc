#include "tensor/cpu/features.h"

#include <cpuid.h>
#include <cstdlib>
#include <string_view>

namespace visage::cpu {
namespace {

// AMX needs the operating system to save tile state (XCR0 bits 17 and 18) besides the CPUID bit.
bool os_saves_tiles() {
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & 0x60000u) == 0x60000u;
}

Features detect() {
  const char* limit = std::getenv("VISAGE_ISA");
  if (limit && std::string_view(limit) == "avx2") return {};
  Features found;
  found.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (found.avx512 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) found.avx512_bf16 = eax & (1u << 5);
  if (found.avx512 && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
    found.amx_bf16 = (edx & (1u << 22)) && os_saves_tiles();
  return found;
}

}  // namespace

const Features& features() {
  static const Features found = detect();
  return found;
}

}  // namespace visage::cpu
