#pragma once
#include "train/data/dataset.h"
#include "train/data/location.h"

#include <cstdint>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace visage::train {

/// Which image files are looked at. All but `none` want every file to exist.
enum class FrameCheck {
  none,
  sample,  // the size of the first frame of up to 500 videos
  all,     // every frame is decoded
};

struct ClassCount {
  annotation::Category category;
  int64_t instances = 0;
};

/// What a data set holds; crowd regions are counted apart from instances.
struct DataSummary {
  int64_t videos = 0, frames = 0, shortest = 0, longest = 0;
  std::map<std::pair<int64_t, int64_t>, int64_t> sizes;  // videos by (width, height)
  std::vector<ClassCount> classes;                       // in the order of the labels
  int64_t instances = 0, crowds = 0;
  int64_t visible = 0, absent = 0;  // frames of instances with and without a mask
  int64_t videos_without_objects = 0;
};

struct DataReport {
  std::string path;         // as it was asked for
  std::string annotations;  // file
  std::string image_root;
  Format format = Format::ytvis;
  annotation::GroundTruth ground_truth = annotation::GroundTruth::missing;
  std::vector<std::string> problems;  // each one line: file, id, reason
  std::vector<std::string> warnings;  // what is tolerated
  DataSummary summary;
  std::shared_ptr<const Dataset> dataset;  // none where there are problems
};

struct DataOptions {
  std::string image_root;  // empty: find_image_root()
  FrameCheck frames = FrameCheck::sample;
};

/// Reads and validates a data set, an annotation file or its folder, and collects every problem. Throws nothing for bad
/// data.
[[nodiscard]] DataReport check_data(const std::string& path, const DataOptions& options = {});

/// The data set of a report. Throws InputError with the first problem, in the words of the report.
[[nodiscard]] std::shared_ptr<const Dataset> require_valid(const DataReport& report);

/// The same for training, which also needs ground truth and at least one object. This is how training opens a data set.
[[nodiscard]] std::shared_ptr<const Dataset> open_training_data(const std::string& path,
                                                                const DataOptions& options = {});

/// Summary, warnings and problems for a reader.
void print(const DataReport& report, std::ostream& out);

}  // namespace visage::train
