#pragma once

namespace visage::cpu {

/// Instruction sets the hand-written kernels choose between, read once from the CPU and the operating system.
/// VISAGE_ISA=avx2 in the environment hides everything above AVX2, for tests and comparisons.
struct Features {
  bool avx512 = false;       // F, BW, DQ, VL
  bool avx512_bf16 = false;  // bf16 dot products
  bool amx_bf16 = false;     // bf16 tile matrix products
};
const Features& features();

}  // namespace visage::cpu
