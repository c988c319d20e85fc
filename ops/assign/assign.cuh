#pragma once
// Linear sum assignment by one warp or one block, for kernels that have the costs at hand. The algorithm, the f64
// arithmetic and the choice among ties are those of ops/assign/hungarian.cpp, so the same pairs come out.
#include "tensor/cuda/warp.cuh"

#include <cuda_runtime.h>

#include <cstdint>

namespace visage::ops::assign_detail {

/// Entry (row, column) is cost[row * row_stride + column * column_stride], in any memory. rows <= columns: a matrix
/// with more rows is given transposed, by its strides.
template <class T>
struct Problem {
  const T* cost;
  int row_stride, column_stride;
  int rows, columns;
  bool maximise;

  __device__ __forceinline__ double entry(int row, int column) const {
    const T value = cost[std::int64_t{row} * row_stride + std::int64_t{column} * column_stride];
    return static_cast<double>(maximise ? -value : value);
  }
};

/// What the threads of a team share, in shared or global memory; undefined content at the start.
struct Lists {
  double* row_dual;    // [rows]
  int* column_of_row;  // [rows], the result
  int* row_of_column;  // [columns], the result from the other side; -1 for a free column
  int* predecessor;    // [columns]: the row from which the shortest path reaches the column
};

/// What the owner of a column knows about it.
struct ColumnState {
  double dual;
  double distance;  // from the source of the current search
  bool scanned;
  bool taken;
};

/// kThreads consecutive threads: a warp (any of a block), or a whole one-dimensional block.
template <int kThreads>
struct Team {
  static constexpr int kWarps = kThreads / cuda::kWarpSize;
  static constexpr unsigned kNone = 0xffffffffu;

  static __device__ __forceinline__ int rank() { return static_cast<int>(threadIdx.x) % kThreads; }

  static __device__ __forceinline__ void sync() {
    if constexpr (kWarps == 1)
      __syncwarp();
    else
      __syncthreads();
  }

  static __device__ __forceinline__ bool any(bool predicate) {
    if constexpr (kWarps == 1)
      return __any_sync(cuda::kAllLanes, predicate);
    else
      return __syncthreads_or(predicate);
  }

  /// Makes (distance, key) the lexicographically least of the team. No distance is NaN.
  static __device__ __forceinline__ void least(double& distance, unsigned& key) {
    least_of_warp(distance, key);
    if constexpr (kWarps > 1) {
      VISAGE_SHARED(double, distances, [kWarps]);
      VISAGE_SHARED(unsigned, keys, [kWarps]);
      const int warp = rank() / cuda::kWarpSize;
      if (rank() % cuda::kWarpSize == 0) {
        distances[warp] = distance;
        keys[warp] = key;
      }
      __syncthreads();
      for (int i = 0; i < kWarps; ++i) {
        if (distances[i] < distance || (distances[i] == distance && keys[i] < key)) {
          distance = distances[i];
          key = keys[i];
        }
      }
      __syncthreads();
    }
  }

 private:
  /// Three integer reductions, on bits that order like the numbers.
  static __device__ __forceinline__ void least_of_warp(double& distance, unsigned& key) {
    constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
    // Adding zero makes -0 the same as +0.
    const auto bits = static_cast<std::uint64_t>(__double_as_longlong(distance + 0.0));
    const std::uint64_t order = bits & kSign ? ~bits : bits | kSign;
    const auto high = static_cast<unsigned>(order >> 32), low = static_cast<unsigned>(order);
    const unsigned least_high = __reduce_min_sync(cuda::kAllLanes, high);
    const unsigned least_low = __reduce_min_sync(cuda::kAllLanes, high == least_high ? low : kNone);
    key = __reduce_min_sync(cuda::kAllLanes, high == least_high && low == least_low ? key : kNone);
    const std::uint64_t least = std::uint64_t{least_high} << 32 | least_low;
    distance = __longlong_as_double(static_cast<long long>(least & kSign ? least & ~kSign : ~least));
  }
};

/// Columns in registers, kPerThread a thread; at most kThreads * kPerThread.
template <int kThreads, int kPerThread>
struct RegisterColumns {
  int count;
  ColumnState state[kPerThread];

  template <class Fn>
  __device__ __forceinline__ void each(Fn&& fn) {
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      const int column = Team<kThreads>::rank() + i * kThreads;
      if (column < count) fn(column, state[i]);
    }
  }
};

/// Any number of columns, in memory of the team's own.
template <int kThreads>
struct MemoryColumns {
  int count;
  ColumnState* state;

  template <class Fn>
  __device__ __forceinline__ void each(Fn&& fn) {
    for (int column = Team<kThreads>::rank(); column < count; column += kThreads) fn(column, state[column]);
  }
};

template <int kThreads, class T, class Columns>
class Solver {
 public:
  __device__ __forceinline__ Solver(const Problem<T>& problem, const Lists& lists, Columns& columns)
      : problem_(problem), lists_(lists), columns_(columns) {}

  /// All threads of the team call this and get the same answer: false for an entry that is NaN, an infinity of the
  /// wrong sign or beyond 1e300 in magnitude, and if no assignment avoids the forbidden pairs. Then the lists are
  /// undefined; else every thread of the team can read the result.
  __device__ __forceinline__ bool solve() {
    columns_.each([&](int column, ColumnState& state) {
      state.dual = 0;
      lists_.row_of_column[column] = -1;
    });
    bool solvable = true, ties = false;
    for (int row = rank(); row < problem_.rows; row += kThreads) best_column(row, solvable, ties);
    Team<kThreads>::sync();
    if (Team<kThreads>::any(!solvable)) return false;
    if (Team<kThreads>::any(ties))
      take_best_columns_in_turn();
    else
      take_best_columns();
    for (int row = 0; row < problem_.rows; ++row) {
      if (lists_.column_of_row[row] < 0 && !augment(row)) return false;
    }
    return true;
  }

 private:
  static constexpr unsigned kNone = Team<kThreads>::kNone;
  static constexpr unsigned kTaken = 1u << 31;

  static __device__ __forceinline__ int rank() { return Team<kThreads>::rank(); }
  static __device__ __forceinline__ double infinity() { return __longlong_as_double(0x7ff0000000000000ll); }

  /// The row's dual is its least entry. Leaves the first column that has it in column_of_row.
  __device__ __forceinline__ void best_column(int row, bool& solvable, bool& ties) {
    constexpr double kLargestEntry = 1e300;
    double least = infinity();
    int best = -1;
    bool tie = false;
    for (int column = 0; column < problem_.columns; ++column) {
      const double value = problem_.entry(row, column);
      if (!(fabs(value) <= kLargestEntry || value == infinity())) solvable = false;
      if (value == least) tie = true;
      if (value < least) {
        least = value;
        best = column;
        tie = false;
      }
    }
    lists_.row_dual[row] = least;
    lists_.column_of_row[row] = best;
    if (best < 0) solvable = false;
    ties |= tie;
  }

  /// Where no row has two best columns, the first row that wants a column gets it.
  __device__ __forceinline__ void take_best_columns() {
    for (int row = rank(); row < problem_.rows; row += kThreads) {
      // -1, a free column, is the largest unsigned number.
      unsigned* const owner = reinterpret_cast<unsigned*>(&lists_.row_of_column[lists_.column_of_row[row]]);
      atomicMin(owner, static_cast<unsigned>(row));
    }
    Team<kThreads>::sync();
    for (int row = rank(); row < problem_.rows; row += kThreads) {
      if (lists_.row_of_column[lists_.column_of_row[row]] != row) lists_.column_of_row[row] = -1;
    }
    Team<kThreads>::sync();
  }

  /// Row by row, the first free one of the row's best columns.
  __device__ __forceinline__ void take_best_columns_in_turn() {
    for (int row = 0; row < problem_.rows; ++row) {
      int best = lists_.column_of_row[row];
      if (lists_.row_of_column[best] >= 0) {
        double least = infinity();
        unsigned next = kNone;
        columns_.each([&](int column, ColumnState&) {
          if (lists_.row_of_column[column] >= 0 || problem_.entry(row, column) != lists_.row_dual[row]) return;
          least = 0;
          next = min(next, static_cast<unsigned>(column));
        });
        Team<kThreads>::least(least, next);
        best = static_cast<int>(next);  // -1 if there is none
      }
      Team<kThreads>::sync();
      if (rank() == 0) {
        lists_.column_of_row[row] = best;
        if (best >= 0) lists_.row_of_column[best] = row;
      }
      Team<kThreads>::sync();
    }
  }

  /// Dijkstra over reduced costs from a free row to the nearest free column, then one more match along that path.
  __device__ __forceinline__ bool augment(int source) {
    columns_.each([&](int column, ColumnState& state) {
      state.distance = infinity();
      state.scanned = false;
      state.taken = lists_.row_of_column[column] >= 0;
    });
    double reached = 0;
    int row = source, sink = -1;
    while (sink < 0) {
      const int column = relax(row, reached);
      if (column < 0) return false;
      row = lists_.row_of_column[column];
      if (row < 0) sink = column;
    }
    Team<kThreads>::sync();
    columns_.each([&](int column, ColumnState& state) {
      if (!state.scanned || column == sink) return;
      const double slack = reached - state.distance;
      state.dual -= slack;
      lists_.row_dual[lists_.row_of_column[column]] += slack;
    });
    Team<kThreads>::sync();
    if (rank() == 0) {
      lists_.row_dual[source] += reached;
      match_along_path(sink);
    }
    Team<kThreads>::sync();
    return true;
  }

  /// Relaxes the reduced costs of `row`, at distance `reached`; returns and scans the nearest column not yet scanned, a
  /// free one first, then the lowest index, and sets `reached` to its distance. -1 if none can be reached.
  __device__ __forceinline__ int relax(int row, double& reached) {
    const double offset = reached - lists_.row_dual[row];
    double least = infinity();
    unsigned nearest = kNone;
    columns_.each([&](int column, ColumnState& state) {
      if (state.scanned) return;
      const double candidate = problem_.entry(row, column) - state.dual + offset;
      if (candidate < state.distance) {
        state.distance = candidate;
        lists_.predecessor[column] = row;
      }
      const unsigned key = static_cast<unsigned>(column) | (state.taken ? kTaken : 0u);
      if (state.distance < least || (state.distance == least && key < nearest)) {
        least = state.distance;
        nearest = key;
      }
    });
    Team<kThreads>::least(least, nearest);
    if (!(least < infinity())) return -1;
    reached = least;
    const int chosen = static_cast<int>(nearest & ~kTaken);
    columns_.each([&](int column, ColumnState& state) {
      if (column == chosen) state.scanned = true;
    });
    return chosen;
  }

  __device__ __forceinline__ void match_along_path(int sink) {
    for (int column = sink; column >= 0;) {
      const int row = lists_.predecessor[column];
      const int next = lists_.column_of_row[row];
      lists_.column_of_row[row] = column;
      lists_.row_of_column[column] = row;
      column = next;
    }
  }

  const Problem<T>& problem_;
  const Lists& lists_;
  Columns& columns_;
};

/// Most columns that one warp solves with everything at hand.
inline constexpr int kWarpColumns = 128;

/// Solves a problem of at most kWarpColumns columns with one warp, all lanes of which call it; the columns are in its
/// registers, four a lane. Costs and lists belong in shared memory, written before a barrier that the warp has passed.
/// Every search step is one pass over the unscanned columns and three warp reductions: bound by latency.
/// See Solver::solve.
template <class T>
__device__ __forceinline__ bool assign_by_warp(const Problem<T>& problem, const Lists& lists) {
  RegisterColumns<cuda::kWarpSize, kWarpColumns / cuda::kWarpSize> columns;
  columns.count = problem.columns;
  return Solver<cuda::kWarpSize, T, decltype(columns)>(problem, lists, columns).solve();
}

/// The same with a block of kThreads threads and `states`, [columns] of memory of the block's own, for any size.
template <int kThreads, class T>
__device__ __forceinline__ bool assign_by_block(const Problem<T>& problem, const Lists& lists, ColumnState* states) {
  MemoryColumns<kThreads> columns{problem.columns, states};
  return Solver<kThreads, T, decltype(columns)>(problem, lists, columns).solve();
}

}  // namespace visage::ops::assign_detail
