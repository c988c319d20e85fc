#pragma once
#include "visage/annotation/category.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace visage::annotation {

/// Classes of "ytvis_2019", "ytvis_2021" (also of 2022) or "ovis", ids from 1. Throws UsageError for another name.
[[nodiscard]] std::vector<Category> official_categories(std::string_view data_set);

/// Labels of one data set's classes among those of another, -1 for a class the other does not have, as
/// train::ClipOptions::label_map wants them. `mapping` is one of
///   "name": classes of equal name,
///   "coco_to_ytvis_2019", "coco_to_ytvis_2021" (also for 2022), "coco_to_ovis": the tables of the official joint
///   training, oddities included (skis count as snowboards, bicycles as motorbikes, OVIS spells Vehical and has no bird
///   from COCO).
/// Classes are told by their names, because the same id means other classes in other data sets.
/// Throws UsageError for another mapping, InputError when a data set lacks a class of the table or no class is shared.
[[nodiscard]] std::vector<int64_t> label_map(std::string_view mapping, std::span<const Category> from,
                                             std::span<const Category> to);

}  // namespace visage::annotation
