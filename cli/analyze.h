#pragma once
#include "cli/experiment.h"
#include "visage/experiments/tsne.h"

#include <cstdint>
#include <iosfwd>
#include <string>

namespace visage::cli {

/// `visage analyze flip`: are objects found again in the mirrored frame (Fig. 2 of the paper)?
struct FlipCommand {
  ExperimentCommand experiment;
  std::int64_t frames_each = 4;  // of every video, evenly spread
  std::string json;              // all numbers; empty: none
  std::string markdown;          // file with a section for the table; empty: none
};

/// Prints the table to `out`. throws UsageError, InputError or CheckpointError.
void run_flip(const FlipCommand& command, std::ostream& out);

/// `visage analyze embeddings`: how do embeddings of the objects lie (Fig. 4)?
struct EmbeddingsCommand {
  ExperimentCommand experiment;
  std::int64_t points = 600;  // an object in a frame is one
  experiments::TsneOptions tsne;
  std::string html, png;  // picture; empty: none
  std::string markdown;   // file with a section for the table; empty: none
};

/// Prints the table to `out`. throws UsageError, InputError or CheckpointError.
void run_embeddings(const EmbeddingsCommand& command, std::ostream& out);

}  // namespace visage::cli
