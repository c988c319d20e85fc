#include "nn/checkpoint/safetensors.h"
#include "tests/fuzz/checkpoint_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return visage::fuzz::read_weights(data, size, visage::nn::parse_safetensors);
}
