#pragma once
#include "visage/config/config.h"
#include "visage/model/model.h"

#include <memory>

namespace visage::test {

/// A model with every part and a recipe that train in moments: `width` is that of the backbone, `edge` the shorter side
/// of the frames.
Config small_config(int width, int edge);

/// The model of such a configuration with the weights of one seed.
std::unique_ptr<Model> fresh_model(const Config& config);

}  // namespace visage::test
