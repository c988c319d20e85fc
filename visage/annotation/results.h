#pragma once
#include "visage/annotation/rle.h"
#include "visage/annotation/ytvis.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace visage::annotation {

/// One predicted track in YouTube-VIS submission format. One mask a frame; nothing where the object is absent.
struct Prediction {
  int64_t video_id = 0;
  double score = 0;
  int64_t category_id = 0;  // the data set's id, not an index
  std::vector<std::optional<Rle>> masks;
};

/// Reads results.json in file order, one prediction at a time. Masks may be run lengths (list or compressed string),
/// polygons or null. Throws InputError naming file, record and rule for anything that does not fit `dataset`: unknown
/// video or category, another number of masks than the video has frames, masks of another size, a score that is not
/// finite.
void for_each_prediction(const std::string& path, const VideoDataset& dataset,
                         const std::function<void(Prediction)>& visit);
[[nodiscard]] std::vector<Prediction> read_results(const std::string& path, const VideoDataset& dataset);
/// The same from memory; `name` stands for the file in messages.
[[nodiscard]] std::vector<Prediction> parse_results(std::string_view json, const std::string& name,
                                                    const VideoDataset& dataset);

/// Writes results.json mask by mask: memory does not grow with the number of predictions or frames. The file appears
/// under its name at close(); without it nothing is left behind. Numbers are written in the shortest form that reads
/// back the same, so equal predictions give equal bytes. Functions throw InputError when writing fails.
class ResultsWriter {
 public:
  explicit ResultsWriter(std::string path);
  ~ResultsWriter();
  ResultsWriter(const ResultsWriter&) = delete;
  ResultsWriter& operator=(const ResultsWriter&) = delete;

  /// Starts a prediction; its masks follow, one a frame. Throws InputError for a score that is not finite.
  void begin(int64_t video_id, double score, int64_t category_id);
  void add_mask(const Rle& mask);
  /// A mask whose counts are already a compressed string.
  void add_mask(int64_t height, int64_t width, std::string_view counts);
  /// A frame without the object.
  void add_absent();
  void end();

  void add(const Prediction& prediction);
  void close();

 private:
  struct Output;
  std::unique_ptr<Output> out_;
  bool first_prediction_ = true, first_mask_ = true;
};

}  // namespace visage::annotation
