#pragma once
// Matrix instructions of a warp: collectives over the fragment layouts that tensor/cuda/mma.cuh documents.
#include "simt/execution.h"

namespace simt {

enum class MmaFormat { bf16, f16, tf32 };

/// mma.sync: d[16, 8] += a * b, with k = 16, or 8 for tf32.
void mma(MmaFormat format, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], Location where);

enum class Transposed { no, yes };
/// What one lane brings to an ldmatrix: the row it read and the registers to fill.
struct MatrixRow {
  unsigned* registers;
  unsigned short element[8];
};
void exchange_matrices(int matrices, Transposed transposed, MatrixRow& mine, Location where);

/// ldmatrix of N matrices of 8x8 elements of 16 bits; lane i gives the address of row i % 8 of matrix i / 8.
template <int N>
void load_matrix(unsigned (&registers)[N], const void* row, Transposed transposed, Location where) {
  MatrixRow mine{registers, {}};
  // Every lane reads the row whose address it gave, so that the sanitizers see who reads what.
  if (lane_index() < 8 * N) {
    check_shared_access("ldmatrix", row);
    for (int i = 0; i < 8; ++i) mine.element[i] = static_cast<const unsigned short*>(row)[i];
  }
  exchange_matrices(N, transposed, mine, where);
}

}  // namespace simt
