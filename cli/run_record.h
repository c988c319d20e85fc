#pragma once
#include "cli/track.h"
#include "visage/config/config.h"

#include <string>

namespace visage::cli {

/// Value below which a fraction `p` (0 to 1) of the values lie; 0 without values.
double percentile(std::vector<double> values, double p);

/// Name of the CPU, "unknown" where the system does not say.
std::string cpu_name();

/// Writes run.json: how the results were made and how long each stage took. throws InputError.
void write_run_record(const std::string& path, const TrackCommand& command, const Config& config,
                      const media::FrameInfo& clip, const TrackSummary& summary);

}  // namespace visage::cli
