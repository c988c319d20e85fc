#pragma once
#include "visage/tracking/config.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace visage::experiments {

/// The ablations of VISAGE (Kim et al., ECCV 2024) that need a trained detector only, and two more.
enum class Ablation {
  memory,     // Table 4: appearance and memory bank
  trackers,   // Table 5: trackers, with and without suppression of duplicates
  alpha,      // Table 6
  pseudo,     // Table 7: objects that keep their paths, objects that exchange them
  window,     // frames of the memory bank
  weighting,  // of the memory bank: the paper's equation or the released code
};

struct AblationRow {
  std::string name;
  std::optional<TrackingConfig> tracking;    // nothing: another detector, of which only the paper's number is known
  std::vector<std::optional<double>> paper;  // AP that the paper reports, one for each of its columns
};

struct AblationTable {
  std::string title;
  std::vector<std::string> paper_columns;  // the data that the paper's numbers are for
  std::vector<AblationRow> rows;
};

/// The rows of an ablation: `base` with one or two values changed. Rows are of the tracker of VISAGE, whatever tracker
/// `base` names, unless they say otherwise.
[[nodiscard]] AblationTable ablation_table(Ablation ablation, const TrackingConfig& base);

/// The different settings of the tables, each once, in the order in which they come.
[[nodiscard]] std::vector<TrackingConfig> settings_of(std::span<const AblationTable> tables);

}  // namespace visage::experiments
