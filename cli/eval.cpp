#include "cli/eval.h"

#include "cli/commands.h"
#include "cli/evaluation_report.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/threads.h"
#include "tensor/cpu/parallel.h"
#include "tensor/error.h"
#include "tensor/files.h"
#include "tensor/log.h"
#include "visage/annotation/results.h"
#include "visage/config/config.h"
#include "visage/config/pipeline_options.h"
#include "visage/evaluation/track_video.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <ostream>
#include <unordered_set>

namespace visage::cli {
namespace {

using annotation::Prediction;
using annotation::VideoDataset;
using evaluation::Evaluator;

void check_command(const EvalCommand& command) {
  check<UsageError>(
      command.results.empty() != command.data.empty(),
      command.results.empty()
          ? "name what to score: --results FILE with --annotations FILE, or --data DIR with --weights FILE"
          : "--results and --data exclude each other; a results file needs --annotations only");
  check<UsageError>(command.results.empty() || !command.annotations.empty(),
                    "--results needs the ground truth: --annotations FILE");
  check_threads(command.threads);
  if (!command.results.empty()) {
    check<UsageError>(command.output.empty(), "--output writes what a model predicts; it does not go with --results");
    check<UsageError>(command.weights.file.empty() && command.weights.test_weights.empty() && command.images.empty(),
                      "--results is scored without a model; leave out --weights, --test-weights and --images");
  }
}

std::string annotation_file(const EvalCommand& command) {
  if (!command.annotations.empty()) return command.annotations;
  return (std::filesystem::path(command.data) / "instances.json").string();
}

std::string image_folder(const EvalCommand& command) {
  if (!command.images.empty()) return command.images;
  return (std::filesystem::path(command.data) / "JPEGImages").string();
}

Evaluator make_evaluator(const VideoDataset& dataset, const std::string& file,
                         const evaluation::TrackingOptions& options) {
  check<InputError>(dataset.ground_truth == annotation::GroundTruth::present, "", file,
                    ": has no \"annotations\", so there is no ground truth; evaluate on a split that has it");
  return Evaluator(dataset, options);
}

std::vector<annotation::Video> selected_videos(const EvalCommand& command, const VideoDataset& dataset) {
  if (command.video_ids.empty()) return dataset.videos;
  const std::unordered_set<std::int64_t> wanted(command.video_ids.begin(), command.video_ids.end());
  std::vector<annotation::Video> videos;
  for (const annotation::Video& video : dataset.videos)
    if (wanted.contains(video.id)) videos.push_back(video);
  return videos;
}

void check_video_ids(const EvalCommand& command, const VideoDataset& dataset, const std::string& file) {
  for (const std::int64_t id : command.video_ids)
    check<InputError>(dataset.video_index.contains(id), "", file, ": has no video with id ", id);
}

void score_model(const EvalCommand& command, const VideoDataset& dataset, Evaluator& evaluator) {
  const Config config = config::load_config(command.config, command.overrides, command.weights.file);
  check_choice(command.weights);
  const std::vector<std::int64_t> ids =
      evaluation::category_ids(dataset, annotation_file(command), config.model.detector.num_classes);
  const std::vector<annotation::Video> videos = selected_videos(command, dataset);
  evaluation::check_images(videos, image_folder(command));
  std::optional<annotation::ResultsWriter> writer;
  if (!command.output.empty()) writer.emplace(command.output);
  std::vector<std::string> notes;
  const std::unique_ptr<Model> model = load_model(config.model, command.weights, notes);
  for (const std::string& note : notes) log::info(note);
  const pipeline::PipelineOptions options = config::pipeline_options(config, command.plan, command.precision);
  const pipeline::Network network(*model, options);
  const std::unique_ptr<pipeline::QuerySource> source = network.source();
  const Interrupt interrupt;
  std::int64_t total = 0, done = 0;
  for (const annotation::Video& video : videos) total += video.length();
  Progress progress(total, command.verbosity);
  for (const annotation::Video& video : videos) {
    const std::vector<pipeline::TrackAssembler> tracks = evaluation::track_video(
        *source, options.assembly, {&config.tracking, 1}, video, image_folder(command), [&](std::int64_t frames) {
          check<Error>(!interrupt.requested(), "interrupted; nothing was written");
          progress.update(done + frames);
        });
    const std::vector<Prediction> predictions = evaluation::predictions_of(tracks.front(), video, ids);
    done += video.length();
    evaluator.add(predictions);
    if (writer)
      for (const Prediction& prediction : predictions) writer->add(prediction);
  }
  if (writer) writer->close();
}

}  // namespace

void run_eval(const EvalCommand& command, std::ostream& out) {
  check_command(command);
  if (command.threads > 0) cpu::set_num_threads(command.threads);
  // Opened first: a report that cannot be written is better known before the work than after it.
  std::unique_ptr<files::AtomicFile> report;
  if (!command.json.empty()) report = std::make_unique<files::AtomicFile>(command.json);
  const std::string file = annotation_file(command);
  const VideoDataset dataset = annotation::read_ytvis(file);
  for (const std::string& warning : dataset.warnings) log::warn(warning);
  check_video_ids(command, dataset, file);
  Evaluator evaluator = make_evaluator(dataset, file, command.tracking);
  if (command.results.empty())
    score_model(command, dataset, evaluator);
  else
    evaluator.add_file(command.results, dataset);
  for (const std::string& warning : evaluator.warnings()) log::warn(warning);
  const evaluation::Evaluation evaluation =
      command.video_ids.empty() ? evaluator.result() : evaluator.result(command.video_ids);
  if (const std::int64_t bare = evaluation.videos_without_predictions; bare > 0)
    log::warn(bare, " of ", evaluation.videos, bare == 1 ? " videos has" : " videos have",
              " no prediction; the objects in ", bare == 1 ? "it" : "them", " count as missed");
  if (evaluation.ap.ap < 0) log::warn(file, ": no object is annotated in these videos; there is nothing to score");
  print_evaluation(evaluation, out);
  if (!report) return;
  report->write(evaluation_json(evaluation));
  report->commit();
}

void define_eval(CLI::App& program) {
  const auto command = std::make_shared<EvalCommand>();
  EvalCommand& c = *command;
  CLI::App& app =
      add_command(program, "eval", "Score predictions against ground truth: AP, AR, HOTA, IDF1, ID switches",
                  "Examples:\n"
                  "  visage eval --results results.json --annotations valid.json\n"
                  "  visage eval --data data/swap --weights model.safetensors --config model.toml\n"
                  "  visage eval --data ytvis_2019 --annotations ytvis_2019/valid.json --images "
                  "ytvis_2019/valid/JPEGImages ...");
  app.add_option("--results", c.results, "results.json of any system, YouTube-VIS submission format")
      ->type_name("FILE")
      ->group("Input");
  app.add_option("--annotations", c.annotations,
                 "Ground truth, YouTube-VIS or OVIS format (default with --data: "
                 "DIR/instances.json)")
      ->type_name("FILE")
      ->group("Input");
  app.add_option("--data", c.data, "Data set to track with a model and to score")->type_name("DIR")->group("Input");
  app.add_option("--images", c.images, "Folder of its images (default DIR/JPEGImages)")
      ->type_name("DIR")
      ->group("Input");
  app.add_option("--video-id", c.video_ids, "Only this video; may be repeated")->type_name("ID")->group("Input");
  add_config(app, c.config, c.overrides);
  add_weights(app, c.weights);
  add_precision(app, c.precision);
  add_threads(app, c.threads);
  add_config_option(app, kMode, c.overrides, "Tracking");
  add_config_option(app, kTracker, c.overrides, "Tracking");
  app.add_option("--min-score", c.tracking.min_score, "Least score of the tracks that HOTA, IDF1 and ID switches see")
      ->capture_default_str()
      ->type_name("0..1")
      ->group("Tracking");
  app.add_option("--json", c.json, "Also write all numbers here")->type_name("FILE")->group("Output");
  app.add_option("--output,-o", c.output, "Write what the model predicts here (results.json)")
      ->type_name("FILE")
      ->group("Output");
  add_quiet(app, &c.verbosity);
  app.final_callback([command] { run_eval(*command, std::cout); });
}

}  // namespace visage::cli
