#pragma once
// Stand-in for the CUDA runtime: with this folder first on the include path, g++ compiles *.cu files and the engine in
// src/ runs their kernels on the CPU. See README.md.
#if defined(__CUDACC__)
#error "tests/simt/include is for the host compiler; nvcc must not see it"
#endif

#define VISAGE_SIMT 1
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
// __noinline__ stays undefined: the standard library spells an attribute that way.
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

#include "simt/async_copy.h"
#include "simt/atomics.h"
#include "simt/device.h"
#include "simt/execution.h"
#include "simt/math.h"
#include "simt/mma.h"
#include "simt/runtime_api.h"
