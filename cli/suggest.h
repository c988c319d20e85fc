#pragma once
#include <span>
#include <string>
#include <string_view>

namespace visage::cli {

/// The candidate nearest to a mistyped name, by insertions, deletions and replacements; empty if none is near.
std::string nearest(std::string_view name, std::span<const std::string> candidates);

}  // namespace visage::cli
