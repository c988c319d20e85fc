#include "cli/data.h"

#include <ostream>

namespace visage::cli {

void check_data(const DataCheckCommand& command, std::ostream& out) {
  const train::DataReport report = train::check_data(command.path, command.options);
  train::print(report, out);
  out.flush();
  (void)train::require_valid(report);
}

}  // namespace visage::cli
