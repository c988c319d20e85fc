#pragma once
#include "tensor/tensor.h"

#include <benchmark/benchmark.h>

#include <functional>

namespace visage::bench {

/// Registers `name`/cuda for every combination of the arguments if this build and this machine have a GPU; where they
/// have none, nothing. For static initialisers.
bool register_on_gpu(const std::string& name, const std::function<void(benchmark::State&)>& function,
                     const std::vector<std::vector<std::int64_t>>& arguments);

/// profile::copy_bandwidth of the GPU, the ceiling of every kernel that is bound by memory; measured once a process.
double gpu_copy_bandwidth();

/// A copy on the GPU.
Tensor to_gpu(const Tensor& x);

/// Random numbers of f32 or bf16 on the GPU. Constants would draw less power there, and so run faster, than real data.
Tensor random_on_gpu(const Dims& size, DType dtype = DType::f32);

/// What one call does. A multiply-add counts as two operations; bytes are those read and written once.
struct Work {
  double flops = 0, bytes = 0;
};

/// The benchmark loop of a function that queues work on the GPU. The time is between two events around ten calls, so
/// that it is the device's where launching is faster than running. Adds the counters TFLOP/s, GB/s and
/// of_copy, the fraction of gpu_copy_bandwidth(), which exceeds one when the data fit into a cache.
void run_on_gpu(benchmark::State& state, const Work& work, const std::function<void()>& function);

}  // namespace visage::bench
