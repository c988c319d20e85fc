#pragma once
#include "train/data/check.h"

#include <iosfwd>
#include <string>

namespace visage::cli {

struct DataCheckCommand {
  std::string path;  // annotation file or folder
  train::DataOptions options;
};

/// `visage data check`: prints what the data set holds and everything that is wrong with it.
/// throws InputError with the first problem, in the words `visage train` would use.
void check_data(const DataCheckCommand& command, std::ostream& out);

}  // namespace visage::cli
