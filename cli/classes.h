#pragma once
#include "visage/annotation/category.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace visage::cli {

/// Ids of the classes in a list as typed with --classes: names or ids, separated by commas; none for an empty list.
/// throws UsageError for a class that is not among `categories`, with the nearest name or,
/// without one, the first few.
std::vector<std::int64_t> chosen_classes(const std::string& list, std::span<const annotation::Category> categories);

}  // namespace visage::cli
