#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>

namespace visage::annotation {

struct Category {
  int64_t id = 0;
  std::string name;
  std::string supercategory;
};

/// Position in a list by id.
using IdIndex = std::unordered_map<int64_t, size_t>;

/// Whether a file came with ground truth; files of test splits have none.
enum class GroundTruth { missing, present };

}  // namespace visage::annotation
