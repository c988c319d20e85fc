#pragma once
#include "nn/checkpoint/parse.h"
#include "nn/checkpoint/strided.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace visage::fuzz {

/// Reads a weight file and touches every byte of its tensors. Refusal is the only error allowed.
inline int read_weights(const std::uint8_t* data, std::size_t size, nn::Checkpoint (*parse)(const nn::FileBytes&)) {
  constexpr std::int64_t kMostElements = 1 << 20;  // an expanded tensor may be large, which is slow but no fault
  const nn::FileBytes file = nn::file_bytes("fuzz", {reinterpret_cast<const char*>(data), size});
  try {
    unsigned sum = 0;
    for (const nn::NamedTensor& one : parse(file).tensors)
      if (one.value.numel() <= kMostElements)
        nn::stream_contiguous(one.value.view(), [&](std::string_view bytes) {
          for (const char byte : bytes) sum += static_cast<unsigned char>(byte);
        });
    [[maybe_unused]] volatile unsigned used = sum;
  } catch (const CheckpointError&) {
  }
  return 0;
}

}  // namespace visage::fuzz
