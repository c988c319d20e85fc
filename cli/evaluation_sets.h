#pragma once
#include "cli/progress.h"
#include "tensor/files.h"
#include "visage/annotation/ytvis.h"
#include "visage/pseudo/pseudo_video.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace visage::cli {

/// The data of an experiment: folders that are there, or pseudo sets that are made for it.
struct SetOptions {
  std::vector<std::string> data;  // folders with instances.json and JPEGImages; empty: make sets
  std::int64_t videos = 30;       // of a made set
  std::int64_t seeds = 3;         // made sets of each mode
  std::uint64_t first_seed = 1001;
  pseudo::PseudoOptions pseudo;  // frames and sizes of made sets
  std::string keep;              // folder in which made sets stay, and are found again; empty: they go
};

struct EvaluationSet {
  std::string group;   // name of its folder: sets of one group are measured as repetitions
  std::string folder;  // as the user knows it
  std::string images;
  annotation::VideoDataset dataset;
  std::vector<std::int64_t> category_ids;  // by class index

  [[nodiscard]] std::int64_t frames() const;
};

class EvaluationSets {
 public:
  /// Reads and checks all sets, so that none is refused after hours; makes those of `modes` if none are named.
  /// `classes` of the model. throws UsageError for impossible options, InputError for sets that cannot be read, do not
  /// fit the model, lack images, or have nothing in them, and as run_pseudo.
  EvaluationSets(const SetOptions& options, std::span<const pseudo::Mode> modes, int classes, Verbosity verbosity);

  [[nodiscard]] const std::vector<EvaluationSet>& sets() const { return sets_; }
  /// Names of the groups in the order of the sets.
  [[nodiscard]] std::vector<std::string> groups() const;
  [[nodiscard]] std::int64_t frames() const;
  /// "3 x swap (90 videos, 3240 frames), ...", and how made sets were made.
  [[nodiscard]] std::string description() const;

 private:
  void make_sets(const SetOptions& options, std::span<const pseudo::Mode> modes, int classes, Verbosity verbosity);
  void read_set(const std::string& folder, const std::string& shown, int classes);

  std::unique_ptr<files::TemporaryPath> temporary_;
  std::vector<EvaluationSet> sets_;
  std::string made_;
};

}  // namespace visage::cli
