#pragma once
#include <string>
#include <vector>

namespace visage::pipeline {

/// Name of a class for people: of `class_names`, or "class 7" with its id, which counts from 1 as in YouTube-VIS.
std::string class_name(const std::vector<std::string>& class_names, int label);

}  // namespace visage::pipeline
