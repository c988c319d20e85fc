#pragma once
#include "train/data/check.h"

#include <iosfwd>
#include <string>

namespace visage::cli {

struct DataCommand {
  std::string path;  // annotation file or folder
  train::DataOptions options;
};

/// `visage data check`: prints what the data set holds and everything that is wrong with it.
/// throws InputError with the first problem, in the words `visage train` would use.
void check_data(const DataCommand& command, std::ostream& out);

/// `visage data config`: prints a configuration that trains on the data set: its place, its classes and their number.
/// throws InputError as check_data(), and when there is nothing to train on.
void print_config(const DataCommand& command, std::ostream& out);

}  // namespace visage::cli
