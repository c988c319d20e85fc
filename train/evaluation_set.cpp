#include "train/evaluation_set.h"

#include "tensor/error.h"
#include "tensor/files.h"
#include "train/data/check.h"
#include "visage/config/pipeline_options.h"
#include "visage/evaluation/evaluator.h"
#include "visage/evaluation/track_video.h"
#include "visage/pseudo/dataset_writer.h"
#include "visage/pseudo/procedural.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace visage::train {
namespace {

namespace fs = std::filesystem;

std::string description_of(const pseudo::PseudoOptions& options, std::int64_t videos) {
  return "visage train, evaluation: " + pseudo::describe(options, videos);
}

// Whether a folder holds the set of this description, complete: sets appear only when they are.
bool holds(const fs::path& folder, const std::string& description) {
  std::ifstream file(folder / pseudo::kAnnotationFile, std::ios::binary);
  std::string start(description.size() + 40, '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  return start.find('"' + description + '"') != std::string::npos;
}

nlohmann::json to_json(const annotation::Prediction& prediction) {
  nlohmann::json masks = nlohmann::json::array();
  for (const std::optional<annotation::Rle>& mask : prediction.masks) {
    if (mask)
      masks.push_back({{"size", {mask->height, mask->width}}, {"counts", annotation::to_string(*mask)}});
    else
      masks.push_back(nullptr);
  }
  return {{"video_id", prediction.video_id},
          {"score", prediction.score},
          {"category_id", prediction.category_id},
          {"segmentations", std::move(masks)}};
}

}  // namespace

EvaluationSet::EvaluationSet(const TrainEvalConfig& data, int classes) : name_("data") {
  const DataReport report = check_data(data.path, {.image_root = data.images});
  (void)require_valid(report);
  check<InputError>(report.format == Format::ytvis, "", data.path,
                    ": holds images; a model is evaluated on videos (train.eval.path)");
  open(report.annotations, report.image_root, classes);
}

EvaluationSet::EvaluationSet(const pseudo::PseudoOptions& options, std::int64_t videos, std::string folder)
    : name_(name_of(options.mode)), options_(options), videos_(videos), folder_(std::move(folder)) {
  pseudo::check_options(options);
}

void EvaluationSet::prepare(int classes) {
  if (!options_) return;
  const std::string description = description_of(*options_, videos_);
  if (!holds(folder_, description)) {
    files::TemporaryPath place(folder_, files::Kind::folder, files::Existing::replace);
    const pseudo::ProceduralObjects objects;
    const pseudo::ProceduralBackgrounds backgrounds;
    pseudo::DatasetWriter writer(place.path(), description, objects.categories());
    for (std::int64_t video = 0; video < videos_; ++video)
      writer.add(pseudo::PseudoVideo(*options_, video, objects, backgrounds));
    writer.close();
    place.publish();
  }
  open((fs::path(folder_) / pseudo::kAnnotationFile).string(), (fs::path(folder_) / pseudo::kImageFolder).string(),
       classes);
}

void EvaluationSet::open(const std::string& annotations, std::string images, int classes) {
  dataset_ = annotation::read_ytvis(annotations);
  check<InputError>(dataset_.ground_truth == annotation::GroundTruth::present, "", annotations,
                    ": has no \"annotations\", so there is no ground truth; evaluate on a split that has it");
  images_ = std::move(images);
  category_ids_ = evaluation::category_ids(dataset_, annotations, classes);
  evaluation::check_images(dataset_.videos, images_);
}

EvaluationScore EvaluationSet::score(const Model& model, const Config& config, HostCommunicator& group,
                                     const EvaluationProgress& progress) const {
  const pipeline::PipelineOptions options = config::pipeline_options(config, pipeline::Plan::fast, Precision::f32);
  const pipeline::Network network(model, options);
  const std::unique_ptr<pipeline::QuerySource> source = network.source();
  const auto is_mine = [&](std::size_t video) { return static_cast<int>(video) % group.size() == group.rank(); };
  std::int64_t total = 0, done = 0;
  for (std::size_t v = 0; v < dataset_.videos.size(); ++v)
    if (is_mine(v)) total += dataset_.videos[v].length();
  nlohmann::json rows = nlohmann::json::array();
  bool ended = false;
  try {
    for (std::size_t v = 0; v < dataset_.videos.size(); ++v) {
      const annotation::Video& video = dataset_.videos[v];
      if (!is_mine(v)) continue;
      const auto tracks = evaluation::track_video(*source, options.assembly, {&config.tracking, 1}, video, images_,
                                                  [&](std::int64_t frames) { progress(done + frames, total); });
      for (const annotation::Prediction& one : evaluation::predictions_of(tracks.front(), video, category_ids_))
        rows.push_back(to_json(one));
      done += video.length();
    }
  } catch (const EvaluationEnded&) {
    ended = true;
  }
  if (group.any(ended)) throw EvaluationEnded{};
  evaluation::Evaluator evaluator(dataset_);
  for (const std::string& part : group.gather(rows.dump()))
    evaluator.add(annotation::parse_results(part, "predictions of a process", dataset_));
  if (group.rank() != 0) return {};
  const evaluation::Evaluation result = evaluator.result();
  const evaluation::IdentityMetrics& identities = result.tracking.class_agnostic;
  return {.set = name_,
          .ap = result.ap.ap,
          .ap50 = result.ap.ap50,
          .ap75 = result.ap.ap75,
          .ar1 = result.ap.ar1,
          .ar10 = result.ap.ar10,
          .hota = identities.hota,
          .idf1 = identities.idf1,
          .id_switches = identities.id_switches};
}

std::vector<EvaluationSet> make_evaluation_sets(const Config& config, const std::string& folder) {
  const TrainEvalConfig& eval = config.train.eval;
  std::vector<EvaluationSet> sets;
  if (!eval.path.empty()) {
    sets.emplace_back(eval, config.model.detector.num_classes);
    return sets;
  }
  const TrainDataConfig& data = config.train.data;
  for (const pseudo::Mode mode : {pseudo::Mode::track, pseudo::Mode::swap}) {
    const EvaluationMode skipped = mode == pseudo::Mode::track ? EvaluationMode::swap : EvaluationMode::track;
    if (eval.mode == skipped) continue;
    sets.emplace_back(pseudo::PseudoOptions{.size = {data.width, data.height},
                                            .frames = eval.frames,
                                            .seed = static_cast<std::uint64_t>(eval.seed),
                                            .mode = mode,
                                            .least_objects = data.least_objects,
                                            .most_objects = data.most_objects},
                      eval.videos, (fs::path(folder) / name_of(mode)).string());
  }
  return sets;
}

}  // namespace visage::train
