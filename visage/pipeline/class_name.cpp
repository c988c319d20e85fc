#include "visage/pipeline/class_name.h"

namespace visage::pipeline {

std::string class_name(const std::vector<std::string>& class_names, int label) {
  const auto index = static_cast<std::size_t>(label);
  return index < class_names.size() ? class_names[index] : "class " + std::to_string(label + 1);
}

}  // namespace visage::pipeline
