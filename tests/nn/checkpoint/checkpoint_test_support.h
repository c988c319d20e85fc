#pragma once
#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/strided.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace visage::test {

inline std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_bytes(const std::string& path, std::string_view content) {
  std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

/// The elements in row-major order, as bytes.
inline std::string contiguous_bytes(const Tensor& tensor) {
  std::string result;
  nn::stream_contiguous(tensor.view(), [&](std::string_view bytes) { result += bytes; });
  return result;
}

inline std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

}  // namespace visage::test
