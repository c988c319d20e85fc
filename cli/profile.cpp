#include "cli/profile.h"

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/run_record.h"
#include "cli/table.h"
#include "cli/threads.h"
#include "cli/version.h"
#include "nn/init/init.h"
#include "tensor/cpu/parallel.h"
#include "tensor/files.h"
#include "tensor/log.h"
#include "train/trainer.h"
#include "visage/config/pipeline_options.h"
#include "visage/profile/report.h"
#include "visage/pseudo/procedural.h"
#include "visage/pseudo/pseudo_video.h"

#include <cstdio>
#include <deque>
#include <iostream>
#include <memory>
#include <ostream>

namespace visage::cli {
namespace {

using profile::Measurement;
using profile::Row;
using profile::Summary;

constexpr media::Size kTrackSize{864, 480}, kTrainSize{448, 256};

std::string number(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string text_of(Device device) {
  return device.type == DeviceType::cpu ? "cpu" : "cuda:" + std::to_string(device.index);
}

std::string text_of(media::Size size) { return std::to_string(size.width) + "x" + std::to_string(size.height); }

// What both commands do before anything runs.
Device prepare(const ProfileCommand& command) {
  check_threads(command.threads);
  const Device device = use_device(command.weights.device);
  if (command.threads > 0) cpu::set_num_threads(command.threads);
  for (const std::string& file : {command.json, command.trace})
    if (!file.empty()) const files::TemporaryPath writable(file, files::Kind::file);
  return device;
}

profile::Conditions conditions(const char* what, const ProfileCommand& command, Device device, Precision precision) {
  profile::Conditions c;
  c["visage"] = kVersion;
  c["command"] = what;
  c["configuration"] = command.config.empty() ? "default" : command.config;
  c["device"] = text_of(device);
  c["precision"] = name_of(precision);
  c["cpu"] = cpu_name();
  c["threads"] = std::to_string(cpu::num_threads());
  return c;
}

class Printer {
 public:
  Printer(const Summary& summary, const profile::Ceilings& ceilings, std::string unit)
      : summary_(summary), ceilings_(ceilings), unit_(std::move(unit)) {}

  Table table(const std::string& title, const std::vector<Row>& rows, std::size_t most) const {
    Table table{
        title, {"", "calls", "ms", "%", "MB", "GFLOP", "GB/s", "of copy", "GFLOP/s", "of product", "peak MB"}, {}};
    for (const Row& row : rows)
      if (table.rows.size() < most) table.rows.push_back(cells(row));
    return table;
  }

 private:
  std::vector<std::string> cells(const Row& row) const {
    const auto units = static_cast<double>(summary_.units);
    std::vector<std::string> cells = {
        row.op.empty() ? std::string(2 * static_cast<std::size_t>(row.depth), ' ') + row.stage
                       : row.op + " (" + row.stage + ")",
        number(static_cast<double>(row.calls) / units, row.calls % summary_.units == 0 ? 0 : 1),
        number(1e3 * row.seconds / units, 3), number(100 * row.seconds / summary_.seconds, 1)};
    if (row.work) {
      cells.push_back(number(1e-6 * row.work->bytes / units, 1));
      cells.push_back(number(1e-9 * row.work->flops / units, 2));
      cells.push_back(number(1e-9 * row.bytes_per_second(), 1));
      cells.push_back(number(100 * row.bytes_per_second() / ceilings_.copy_bandwidth, 0) + " %");
      cells.push_back(number(1e-9 * row.flops_per_second(), 1));
      cells.push_back(number(100 * row.flops_per_second() / ceilings_.product_rate, 0) + " %");
    } else {
      cells.insert(cells.end(), 6, "-");
    }
    cells.push_back(number(1e-6 * static_cast<double>(row.peak_memory), 1));
    return cells;
  }

  const Summary& summary_;
  const profile::Ceilings& ceilings_;
  const std::string unit_;
};

void write_file(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  files::AtomicFile file(path);
  file.write(text);
  file.commit();
}

void report(const ProfileCommand& command, const Measurement& measurement, DType products,
            const profile::Conditions& conditions, std::ostream& out) {
  const Summary summary = summarise(measurement);
  const profile::Ceilings ceilings = profile::measure_ceilings(measurement.device, products);
  for (const auto& [key, value] : conditions) out << key << ": " << value << "\n";
  const auto ms = [](double seconds) { return number(1e3 * seconds, 3); };
  out << "latency of a " << measurement.unit << ": p50 " << ms(summary.p50) << " ms, p95 " << ms(summary.p95)
      << " ms, p99 " << ms(summary.p99) << " ms, longest " << ms(summary.most) << " ms, of "
      << measurement.latencies.size() << "; recording adds " << number(100 * summary.recording_cost, 1) << " %\n"
      << "ceilings: copy " << number(1e-9 * ceilings.copy_bandwidth, 1) << " GB/s, product of "
      << name_of(ceilings.products) << " matrices " << number(1e-9 * ceilings.product_rate, 1) << " GFLOP/s\n"
      << "memory in use: at most " << number(1e-6 * static_cast<double>(summary.peak_memory), 1) << " MB\n\n";
  const Printer printer(summary, ceilings, measurement.unit);
  printer.table("Stages, a " + measurement.unit, summary.stages, summary.stages.size()).print(out);
  out << "\n";
  printer.table("Ops, a " + measurement.unit, summary.ops, static_cast<std::size_t>(command.rows)).print(out);
  write_file(command.json, profile::report_json(measurement, summary, ceilings, conditions));
  write_file(command.trace, profile::trace_json(measurement));
}

// Frames of a procedural clip, repeated as often as they are needed.
std::deque<media::Frame> clip(media::Size size, std::int64_t frames) {
  constexpr std::int64_t kDifferent = 8;
  const pseudo::PseudoVideo video({.size = size,
                                   .frames = kDifferent,
                                   .mode = pseudo::Mode::track,
                                   .least_objects = 4,
                                   .most_objects = 4,
                                   .curve_frames = kDifferent},
                                  0, pseudo::ProceduralObjects(), pseudo::ProceduralBackgrounds());
  std::deque<media::Frame> clip;
  for (std::int64_t t = 0; t < frames; ++t)
    clip.push_back(t < kDifferent ? media::Frame{video.render(t).image, std::to_string(t), t}
                                  : media::Frame{clip[t - kDifferent].image, std::to_string(t), t});
  return clip;
}

// A configuration that trains on procedural clips, for who names none.
void use_procedural_clips(Config& config, media::Size size) {
  const pseudo::ProceduralObjects objects;
  for (const annotation::Category& category : objects.categories()) config.class_names.push_back(category.name);
  config.model.detector.num_classes = static_cast<int>(config.class_names.size());
  TrainConfig& train = config.train;
  train.clips = 1;
  train.frames = 2;
  train.data.width = size.width;
  train.data.height = size.height;
  train.data.least_edge = train.data.most_edge = std::min(size.width, size.height);
  train.data.longest_edge = std::max(size.width, size.height);
  train.data.crop_probability = 0;
}

}  // namespace

void profile_track(const ProfileCommand& command, std::ostream& out) {
  const Config config = config::load_config(command.config, command.overrides, command.weights.file);
  const Device device = prepare(command);
  const media::Size size = command.size.value_or(kTrackSize);
  WeightChoice weights = command.weights;
  weights.device = text_of(device);  // auto is said once
  if (weights.file.empty() && weights.test_weights.empty()) weights.test_weights = "public";
  std::vector<std::string> notes;
  const std::unique_ptr<Model> model = load_model(config.model, weights, notes);
  for (const std::string& note : notes) log::info(note);
  pipeline::PipelineOptions options = config::pipeline_options(config, command.plan, command.precision);
  options.in_flight = 1;  // a latency ends with the masks of the frame it began with
  pipeline::VideoPipeline video(*model, options);
  const bool offline = config.model.detector.mode == Mode::offline;
  const int window = offline ? config.inference.chunk - config.inference.overlap : config.inference.window;
  const int before = offline ? config.inference.overlap : 0;  // a chunk begins with these of the one before
  std::deque<media::Frame> frames = clip(size, before + std::int64_t{window} * (command.warmup + 2 * command.repeats));
  const auto feed = [&](int count) {
    for (int i = 0; i < count; ++i) {
      (void)video.feed(std::move(frames.front()));
      frames.pop_front();
    }
  };
  feed(before);
  const char* const unit = offline ? "chunk" : window == 1 ? "frame" : "window";
  const Measurement measurement =
      profile::measure({device, unit, command.warmup, command.repeats}, [&] { feed(window); });
  profile::Conditions how = conditions("track", command, device, command.precision);
  how["frame"] = text_of(size) + ", network input " + std::to_string(video.mask_sizes().image.width) + "x" +
                 std::to_string(video.mask_sizes().image.height);
  how["weights"] = weights.file.empty() ? "test weights " + weights.test_weights : weights.file;
  if (video.graph_nodes() > 0)
    how["graph"] = std::to_string(video.graph_nodes()) + " nodes, from pixels to tracks; recorded frames run op by op";
  if (offline)
    how["new frames of a chunk"] = std::to_string(window) + " of " + std::to_string(config.inference.chunk);
  else if (window > 1)
    how["frames of a window"] = std::to_string(window);
  report(command, measurement, set_precision(command.precision, device), how, out);
}

void profile_train(const ProfileCommand& command, std::ostream& out) {
  check<UsageError>(command.config.empty() || !command.size,
                    "profile train: --size is of the procedural clips that are made without --config; with it set ",
                    "train.data.width and train.data.height, or leave --size out");
  Config config = config::load_config(command.config, {});
  if (command.config.empty()) use_procedural_clips(config, command.size.value_or(kTrainSize));
  for (const std::string& assignment : command.overrides) config::apply_override(config, assignment);
  config::check_config(config);
  const Device device = prepare(command);
  Model model(config.model, device);
  const Mask2FormerConfig& detector = config.model.detector;
  nn::initialise(model.params(), {.seed = 1, .heads = detector.heads, .points = detector.points});
  train::Trainer trainer(config, model);
  const Measurement measurement =
      profile::measure({device, "step", command.warmup, command.repeats}, [&] { (void)trainer.step(); });
  profile::Conditions how = conditions("train", command, device, config.train.precision);
  how["batch"] = std::to_string(config.train.clips) + " clips of " + std::to_string(config.train.frames) + " frames";
  report(command, measurement, set_precision(config.train.precision, device), how, out);
}

void define_profile(CLI::App& program) {
  const auto command = std::make_shared<ProfileCommand>();
  ProfileCommand& c = *command;
  CLI::App& app = add_command(program, "profile",
                              "Where the time goes, stage by stage and op by op: visage profile track|train", "");
  app.require_subcommand(1);
  CLI::App& track = *app.add_subcommand("track", "A frame on its way from pixels to tracks");
  track.footer(
      "The frames are of a procedural clip. docs/profiling.md explains every column.\n"
      "Examples:\n"
      "  visage profile track\n"
      "  visage profile track --size 1280x720 --precision bf16 --json profile.json --trace trace.json\n"
      "  visage profile track --config zoo/synthetic_small/config.toml --weights "
      "zoo/synthetic_small/model.safetensors");
  CLI::App& train = *app.add_subcommand("train", "A training step: data, losses, gradients, optimizer");
  train.footer("Example: visage profile train --config configs/synthetic_small.toml --trace trace.json");
  add_weights(track, c.weights);
  add_device(train, c.weights.device);
  add_precision(track, c.precision);
  add_plan(track, c.plan);
  add_size(track, c.size, "Of the frames (default 864x480)")->group("Input");
  add_size(train, c.size, "Of the frames, where no --config says it (default 448x256)")->group("Input");
  for (CLI::App* const either : {&track, &train}) {
    either
        ->add_option(either == &track ? "--frames" : "--steps", c.repeats,
                     "Timed as they are, and as many again recorded")
        ->capture_default_str()
        ->type_name("N");
    either->add_option("--warmup", c.warmup, "Not timed, before them")->capture_default_str()->type_name("N");
    add_config(*either, c.config, c.overrides);
    add_threads(*either, c.threads);
    either->add_option("--rows", c.rows, "Ops in the table")->capture_default_str()->type_name("N")->group("Output");
    either->add_option("--json", c.json, "Also write all numbers here")->type_name("FILE")->group("Output");
    either->add_option("--trace", c.trace, "Also write a timeline for ui.perfetto.dev or chrome://tracing")
        ->type_name("FILE")
        ->group("Output");
    add_quiet(*either);
  }
  track.final_callback([command] { profile_track(*command, std::cout); });
  train.final_callback([command] { profile_train(*command, std::cout); });
}

}  // namespace visage::cli
