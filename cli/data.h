#pragma once
#include "train/data/check.h"

#include <iosfwd>
#include <string>

namespace visage::cli {

struct DataCommand {
  std::string path;  // annotation file or folder
  train::DataOptions options;
  std::string weights;  // for print_config(): what is trained on; empty: the official recipe
};

/// `visage data check`: prints what the data set holds and everything that is wrong with it.
/// throws InputError with the first problem, in the words `visage train` would use.
void check_data(const DataCommand& command, std::ostream& out);

/// `visage data config`: prints a configuration that trains on the data set: its place, its classes and their number,
/// one clip at a time, and what else differs from the defaults in the configuration that the weights carry.
/// throws InputError as check_data(), when there is nothing to train on, and for weights without a configuration.
void print_config(const DataCommand& command, std::ostream& out);

}  // namespace visage::cli
