#include "visage/annotation/results.h"

#include "tensor/error.h"
#include "visage/annotation/json_records.h"
#include "visage/annotation/json_writer.h"

#include <nlohmann/json.hpp>

#include <cmath>

namespace visage::annotation {
namespace {

using nlohmann::json;

Prediction to_prediction(const json& record, const std::string& where, const VideoDataset& dataset) {
  const Fields fields(record, where);
  Prediction prediction{.video_id = fields.integer("video_id"),
                        .score = fields.finite("score"),
                        .category_id = fields.integer("category_id"),
                        .masks = {}};
  const auto found = dataset.video_index.find(prediction.video_id);
  check<InputError>(found != dataset.video_index.end(), "", where, ": the data set has no video with id ",
                    prediction.video_id);
  check<InputError>(dataset.category_index.contains(prediction.category_id), "", where,
                    ": the data set has no category with id ", prediction.category_id,
                    "; ids are those of the annotation file, not positions");
  const Video& video = dataset.videos[found->second];
  const json& segmentations = fields.list("segmentations");
  check<InputError>(static_cast<int64_t>(segmentations.size()) == video.length(), "", where, ": \"segmentations\" has ",
                    segmentations.size(), " entries, video ", video.id, " has ", video.length(), " frames");
  std::vector<std::string> warnings;
  for (const json& value : segmentations) {
    const std::string place = where + ": segmentations[" + std::to_string(prediction.masks.size()) + "]";
    Segmentation segmentation = to_segmentation(value, place, warnings);
    check<InputError>(warnings.empty(), "", place, ": polygons need an even count of at least 6 numbers");
    prediction.masks.push_back(to_mask(std::move(segmentation), {video.height, video.width}, place));
  }
  return prediction;
}

void read_predictions(const JsonText& text, const VideoDataset& dataset, const std::function<void(Prediction)>& visit) {
  read_list(text, [&](const json& record, const std::string& where) { visit(to_prediction(record, where, dataset)); });
}

}  // namespace

void for_each_prediction(const std::string& path, const VideoDataset& dataset,
                         const std::function<void(Prediction)>& visit) {
  const std::string text = read_text(path);
  read_predictions({.name = path, .text = text}, dataset, visit);
}

std::vector<Prediction> parse_results(std::string_view json, const std::string& name, const VideoDataset& dataset) {
  std::vector<Prediction> predictions;
  read_predictions({.name = name, .text = json}, dataset,
                   [&](Prediction prediction) { predictions.push_back(std::move(prediction)); });
  return predictions;
}

std::vector<Prediction> read_results(const std::string& path, const VideoDataset& dataset) {
  return parse_results(read_text(path), path, dataset);
}

struct ResultsWriter::Output : JsonWriter {
  using JsonWriter::JsonWriter;
};

ResultsWriter::ResultsWriter(std::string path) : out_(std::make_unique<Output>(std::move(path))) { out_->text("["); }
ResultsWriter::~ResultsWriter() = default;

void ResultsWriter::begin(int64_t video_id, double score, int64_t category_id) {
  check<InputError>(std::isfinite(score), "results: score of a prediction of video ", video_id,
                    " is not finite: ", score);
  out_->text(first_prediction_ ? "\n" : ",\n").text("{\"video_id\":").integer(video_id);
  out_->text(",\"score\":").number(score).text(",\"category_id\":").integer(category_id).text(",\"segmentations\":[");
  first_prediction_ = false;
  first_mask_ = true;
}

void ResultsWriter::add_mask(const Rle& mask) { add_mask(mask.height, mask.width, to_string(mask)); }

void ResultsWriter::add_mask(int64_t height, int64_t width, std::string_view counts) {
  out_->text(first_mask_ ? "" : ",").mask(height, width, counts);
  first_mask_ = false;
}

void ResultsWriter::add_absent() {
  out_->text(first_mask_ ? "null" : ",null");
  first_mask_ = false;
}

void ResultsWriter::end() { out_->text("]}"); }

void ResultsWriter::add(const Prediction& prediction) {
  begin(prediction.video_id, prediction.score, prediction.category_id);
  for (const std::optional<Rle>& mask : prediction.masks) {
    if (mask) {
      add_mask(*mask);
    } else {
      add_absent();
    }
  }
  end();
}

void ResultsWriter::close() {
  out_->text("\n]\n");
  out_->close();
}

}  // namespace visage::annotation
