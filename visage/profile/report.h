#pragma once
#include "visage/profile/summary.h"

#include <map>

namespace visage::profile {

/// How a profile was made; every value is text for a reader.
using Conditions = std::map<std::string, std::string>;

/// The whole profile as JSON: conditions, ceilings, latencies, a row for every stage and op, and the memory in use over
/// time. What was not measured is null. docs/profiling.md explains the keys.
[[nodiscard]] std::string report_json(const Measurement& measurement, const Summary& summary, const Ceilings& ceilings,
                                      const Conditions& conditions);

/// The recorded units in the Trace Event Format, which Perfetto (ui.perfetto.dev) and chrome://tracing show: stages and
/// ops as nested slices, on a GPU once by its clock and once as the CPU submitted them, and the memory in use.
[[nodiscard]] std::string trace_json(const Measurement& measurement);

}  // namespace visage::profile
