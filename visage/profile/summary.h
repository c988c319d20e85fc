#pragma once
#include "visage/profile/ceilings.h"
#include "visage/profile/measure.h"

namespace visage::profile {

/// All calls of a stage, or of an op within one stage.
struct Row {
  std::string stage;  // "other": outside of every stage
  std::string op;     // empty in the row of a stage
  int depth = 0;      // of a stage within others
  std::int64_t calls = 0;
  double seconds = 0;           // on the device of the data; of an op without the ops inside it
  double host_seconds = 0;      // on the CPU, likewise
  std::optional<Work> work;     // of an op: if every call said it; of a stage: what its ops said, at least one
  std::size_t peak_memory = 0;  // bytes in use when a stage or an op in it began or ended

  double bytes_per_second() const { return work && seconds > 0 ? work->bytes / seconds : 0; }
  double flops_per_second() const { return work && seconds > 0 ? work->flops / seconds : 0; }
};

struct Summary {
  std::int64_t units = 0;                      // recorded
  double seconds = 0;                          // of all of them: the sum of the stages of depth 0
  std::vector<Row> stages;                     // in the order of their first begin, "other" at the end
  std::vector<Row> ops;                        // the longest first
  double p50 = 0, p95 = 0, p99 = 0, most = 0;  // seconds of an undisturbed unit
  double recording_cost = 0;                   // by which fraction recorded units took longer (median)
  std::size_t peak_memory = 0;
};

[[nodiscard]] Summary summarise(const Measurement& measurement);

/// Value below which a fraction `p` (0 to 1) of the values lie; 0 without values.
[[nodiscard]] double percentile(std::vector<double> values, double p);

}  // namespace visage::profile
