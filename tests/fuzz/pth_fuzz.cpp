// The zip container and the pickle in it. Checksums stop nearly every mutation of the pickle; pickle_fuzz is for that.
#include "nn/checkpoint/pickle_files.h"
#include "tests/fuzz/checkpoint_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return visage::fuzz::read_weights(data, size, visage::nn::parse_torch_zip);
}
