#pragma once
#include <cstddef>
#include <string_view>

namespace visage::config {

/// Levenshtein distance: insertions, deletions and replacements that turn a into b.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace visage::config
