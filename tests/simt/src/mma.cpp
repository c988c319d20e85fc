// mma.sync and ldmatrix: every lane leaves a pointer to its registers, the last to arrive does the work for all.
#include "simt/mma.h"

#include "block.h"

namespace simt {
namespace {

struct MmaRegisters {
  float* d;
  const unsigned* a;
  const unsigned* b;
};

template <class T>
T& left_by(const Exchange& exchange, int lane) {
  return *reinterpret_cast<T*>(exchange.in[lane]);
}

void check_all_lanes(const char* what, std::uint32_t lanes) {
  if (lanes != ~0u) fail("%s: needs all 32 lanes, but only 0x%08x take part", what, lanes);
}

/// Element `half` of a register of two 16-bit elements.
template <MmaFormat kFormat>
float unpack(unsigned word, int half) {
  const auto bits = static_cast<unsigned short>(word >> 16 * half);
  if constexpr (kFormat == MmaFormat::f16) return static_cast<float>(std::bit_cast<_Float16>(bits));
  return std::bit_cast<float>(static_cast<unsigned>(bits) << 16);
}

/// The hardware ignores the low 13 bits of a tf32 operand.
float unpack_tf32(unsigned word) { return std::bit_cast<float>(word & 0xffffe000u); }

template <int kDepth>
struct Operands {
  float a[16][kDepth];
  float b[kDepth][8];
};

template <MmaFormat kFormat>
void gather(const MmaRegisters& lane, int row, int pair, Operands<16>& to) {
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 4; ++i) to.a[row + i % 2 * 8][2 * pair + i / 2 * 8 + half] = unpack<kFormat>(lane.a[i], half);
    for (int i = 0; i < 2; ++i) to.b[2 * pair + i * 8 + half][row] = unpack<kFormat>(lane.b[i], half);
  }
}
template <MmaFormat>
void gather(const MmaRegisters& lane, int row, int column, Operands<8>& to) {
  for (int i = 0; i < 4; ++i) to.a[row + i % 2 * 8][column + i / 2 * 4] = unpack_tf32(lane.a[i]);
  for (int i = 0; i < 2; ++i) to.b[column + i * 4][row] = unpack_tf32(lane.b[i]);
}

template <MmaFormat kFormat>
void combine_mma(Exchange& exchange, std::uint32_t lanes) {
  constexpr int kDepth = kFormat == MmaFormat::tf32 ? 8 : 16;
  check_all_lanes("mma", lanes);
  Operands<kDepth> operands;
  for (int lane = 0; lane < 32; ++lane) {
    gather<kFormat>(left_by<MmaRegisters>(exchange, lane), lane / 4, lane % 4, operands);
  }
  float product[16][8] = {};
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < kDepth; ++k) {
      for (int column = 0; column < 8; ++column) product[row][column] += operands.a[row][k] * operands.b[k][column];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    float* const d = left_by<MmaRegisters>(exchange, lane).d;
    for (int i = 0; i < 4; ++i) d[i] += product[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

template <int kMatrices, Transposed kTransposed>
void combine_matrices(Exchange& exchange, std::uint32_t lanes) {
  check_all_lanes("ldmatrix", lanes);
  for (int matrix = 0; matrix < kMatrices; ++matrix) {
    const auto element = [&](int row, int column) -> unsigned {
      if (kTransposed == Transposed::yes) std::swap(row, column);
      return left_by<MatrixRow>(exchange, 8 * matrix + row).element[column];
    };
    for (int lane = 0; lane < 32; ++lane) {
      const int row = lane / 4, column = lane % 4 * 2;
      left_by<MatrixRow>(exchange, lane).registers[matrix] = element(row, column) | element(row, column + 1) << 16;
    }
  }
}

void meet(const void* registers, Combine combine, Location where) {
  exchange(~0u, reinterpret_cast<std::uintptr_t>(registers), 0, combine, Ordering::none, where);
}

}  // namespace

void mma(MmaFormat format, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], Location where) {
  const MmaRegisters mine{d, a, b};
  switch (format) {
    case MmaFormat::bf16: return meet(&mine, &combine_mma<MmaFormat::bf16>, where);
    case MmaFormat::f16: return meet(&mine, &combine_mma<MmaFormat::f16>, where);
    case MmaFormat::tf32: return meet(&mine, &combine_mma<MmaFormat::tf32>, where);
  }
}

void exchange_matrices(int matrices, Transposed transposed, MatrixRow& mine, Location where) {
  const bool plain = transposed == Transposed::no;
  if (matrices == 2) {
    return meet(&mine, plain ? &combine_matrices<2, Transposed::no> : &combine_matrices<2, Transposed::yes>, where);
  }
  meet(&mine, plain ? &combine_matrices<4, Transposed::no> : &combine_matrices<4, Transposed::yes>, where);
}

}  // namespace simt
