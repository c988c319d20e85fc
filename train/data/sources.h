#pragma once
#include "train/data/loader.h"
#include "visage/config/config.h"

#include <vector>

namespace visage::train {

/// The data sets that `train.data` of a configuration names, opened and checked, and how clips are drawn from them: the
/// first set, whose classes are the model's, and the joint one if there is one.
/// throws UsageError for keys that do not fit the data, InputError for data that cannot be used.
[[nodiscard]] std::vector<Source> make_sources(const Config& config);

/// Clips, seed and mixing of a configuration.
[[nodiscard]] BatchOptions batch_options(const TrainConfig& config);

}  // namespace visage::train
