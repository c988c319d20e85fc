#pragma once
#include "train/data/loader.h"
#include "visage/config/config.h"

#include <vector>

namespace visage::train {

/// The data sets that `train.data` of a configuration names, opened and checked, and how clips are drawn from them.
/// throws UsageError for keys that do not fit the data, InputError for data that cannot be used.
[[nodiscard]] std::vector<Source> make_sources(const Config& config);

}  // namespace visage::train
