#pragma once
#include "visage/annotation/category.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace visage::train {

/// Labels of one data set's classes among those of another, -1 for a class the other does not have, as
/// ClipOptions::label_map wants them. `mapping` is one of
///   "name": classes of equal name,
///   "coco_to_ytvis_2019", "coco_to_ytvis_2021" (also for 2022), "coco_to_ovis": the tables of the official joint
///   training, oddities included (skis count as snowboards, bicycles as motorbikes, OVIS spells Vehical and has no bird
///   from COCO).
/// Classes are told by their names, because the same id means other classes in other data sets.
/// Throws UsageError for another mapping, InputError when a data set lacks a class of the table or no class is shared.
[[nodiscard]] std::vector<int64_t> label_map(std::string_view mapping, std::span<const annotation::Category> from,
                                             std::span<const annotation::Category> to);

}  // namespace visage::train
