#include "cli/main.h"

#include "cli/analyze.h"
#include "cli/convert.h"
#include "cli/data.h"
#include "cli/demo.h"
#include "cli/eval.h"
#include "cli/inspect.h"
#include "cli/options.h"
#include "cli/profile.h"
#include "cli/pseudo.h"
#include "cli/suggest.h"
#include "cli/sweep.h"
#include "cli/track.h"
#include "cli/train.h"
#include "cli/usage.h"
#include "cli/version.h"
#include "tensor/log.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>

namespace visage::cli {
namespace {

// An option that is short for --set KEY=value.
struct ConfigOption {
  const char* flag;
  const char* key;
  const char* type;
  const char* help;
};

constexpr ConfigOption kShortestEdge = {"--shortest-edge", "inference.shortest_edge", "PIXELS",
                                        "Resize frames so that the shorter side has this length"};
constexpr ConfigOption kTrackingOptions[] = {
    {"--scores", "inference.scores", "video|online",
     "Classes and scores from the whole video, at its end, or from the frames so far, with every frame"},
    {"--window", "inference.window", "N", "Frames detected together; results do not depend on it"},
    {"--alpha", "tracking.alpha", "0..1", "Weight of appearance against object similarity"},
    {"--memory", "tracking.window", "W", "Frames the memory bank keeps"},
    {"--weighting", "tracking.weighting", "paper|release", "Whether the newest frame weighs most or least"},
    {"--min-score", "inference.min_score", "0..1", "Least score of objects in the overlay and in tracks.jsonl"},
    {"--top-k", "inference.top_k", "N", "Rows of results.json; 0: as many as there are classes"},
};

class Program {
 public:
  Program();
  int run(int argc, char** argv);
  /// "visage" or "visage track": where messages come from.
  const std::string& name() const { return name_; }

 private:
  void define_track();
  void define_demo();
  void define_pseudo();
  void define_eval();
  void define_train();
  void define_sweep();
  void define_analyze();
  void define_profile();
  void define_inspect();
  void define_convert();
  void define_data();

  CLI::App* add_command(const char* name, const char* help, const char* footer);
  static void add_config(CLI::App* app, std::string& file, Strings& overrides);
  void add_config_option(CLI::App* app, const ConfigOption& option, const char* group);
  static void add_weights(CLI::App* app, WeightChoice& weights);
  static void add_device(CLI::App* app, std::string& device);
  void add_quiet(CLI::App* app);
  void add_existing(CLI::App* app);
  void add_experiment(CLI::App* app, ExperimentCommand& command);
  void complete(ExperimentCommand& command, const Strings& overrides) const;
  void dispatch();

  CLI::App app_{"VISAGE: video instance segmentation. Finds, outlines and follows the objects of a video.", "visage"};
  CLI::App *track_ = nullptr, *demo_ = nullptr, *pseudo_ = nullptr, *eval_ = nullptr, *inspect_ = nullptr,
           *convert_ = nullptr, *data_ = nullptr, *data_config_ = nullptr, *train_ = nullptr, *sweep_ = nullptr,
           *flip_ = nullptr, *embeddings_ = nullptr, *profile_track_ = nullptr, *profile_train_ = nullptr;
  std::string name_ = "visage";
  TrackCommand track_command_;
  DemoCommand demo_command_;
  PseudoCommand pseudo_command_;
  std::vector<const CLI::Option*> decided_by_manifest_;
  EvalCommand eval_command_;
  TrainCommand train_command_;
  SweepCommand sweep_command_;
  FlipCommand flip_command_;
  EmbeddingsCommand embeddings_command_;
  ProfileCommand profile_command_;
  InspectOptions inspect_options_;
  ConvertOptions convert_options_;
  DataCommand data_command_;
  std::string test_weights_name_, config_;
  Strings overrides_, typed_;
  files::Existing existing_ = files::Existing::refuse;
  Verbosity verbosity_ = Verbosity::normal;
};

Program::Program() {
  app_.set_version_flag("--version", std::string("visage ") + kVersion + " (" + kFeatures + ")",
                        "Print the version and what this build can do");
  app_.require_subcommand(1);
  app_.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // inherited by the commands
  app_.get_formatter()->column_width(34);
  app_.footer(
      "Each command has its own help: visage track --help\n"
      "Exit codes: 0 done, 1 failed, 2 wrong use.");
  define_track();
  define_demo();
  define_pseudo();
  define_eval();
  define_train();
  define_sweep();
  define_analyze();
  define_profile();
  define_inspect();
  define_convert();
  define_data();
}

CLI::App* Program::add_command(const char* name, const char* help, const char* footer) {
  CLI::App* const command = app_.add_subcommand(name, help);
  command->footer(footer);
  command->group("Commands");
  return command;
}

void Program::add_config(CLI::App* app, std::string& file, Strings& overrides) {
  app->add_option("--config", file, "Configuration, TOML (default: ResNet-50 for YouTube-VIS 2019)")
      ->type_name("FILE")
      ->group("Model");
  app->add_option("--set", overrides, "Override a key of the configuration, e.g. --set tracking.alpha=0.5")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all()
      ->group("Model");
}

void Program::add_config_option(CLI::App* app, const ConfigOption& option, const char* group) {
  const std::string key = option.key;
  app->add_option_function<std::string>(
         option.flag, [this, key](const std::string& value) { typed_.push_back(key + "=" + value); }, option.help)
      ->type_name(option.type)
      ->group(group);
}

void Program::add_weights(CLI::App* app, WeightChoice& weights) {
  app->add_option("--weights", weights.file, "Trained weights: .safetensors, .pth or .pkl")
      ->type_name("FILE")
      ->group("Model");
  app->add_option("--test-weights", weights.test_weights,
                  "Deterministic weights made from a name, e.g. public; their masks are meaningless")
      ->type_name("NAME")
      ->group("Model");
  app->add_flag_callback(
         "--init-missing", [&weights] { weights.fit = Fit::image_checkpoint; },
         "Accept a Mask2Former image checkpoint: its class head is left out and what it lacks is "
         "initialised (default: everything must fit)")
      ->group("Model");
  add_device(app, weights.device);
}

void Program::add_device(CLI::App* app, std::string& device) {
  app->add_option("--device", device, "auto (a GPU where there is one), cpu, cuda or cuda:N")
      ->type_name("NAME")
      ->group("Speed");
}

void Program::add_quiet(CLI::App* app) {
  app->add_flag_callback(
      "--quiet,-q", [this] { verbosity_ = Verbosity::quiet; }, "Print errors only");
}

void Program::add_existing(CLI::App* app) {
  app->add_flag_callback(
         "--overwrite", [this] { existing_ = files::Existing::replace; },
         "Replace the results of an earlier run in the output folder")
      ->group("Output");
}

void Program::define_track() {
  using media::VideoFormat;
  TrackCommand& c = track_command_;
  CLI::App* const app = track_ =
      add_command("track", "Track the objects of a video",
                  "Examples:\n"
                  "  visage track clip.mp4 --weights visage_r50.pth --output out\n"
                  "  visage track 'frames/*.png' --weights model.safetensors --scores online --output out\n"
                  "  ffmpeg -i clip.mp4 -f rawvideo -pix_fmt rgb24 - | visage track - --size 1280x720 --fps 30 ...");
  app->add_option("INPUT", c.source.path, "Video, image, folder or quoted pattern of images, or - for raw RGB on stdin")
      ->required();
  app->add_option("--start", c.source.start, "First frame")->type_name("N")->group("Input");
  app->add_option("--stride", c.source.stride, "Take every N-th frame")->type_name("N")->group("Input");
  app->add_option("--max-frames", c.source.max_frames, "Stop after N frames")->type_name("N")->group("Input");
  app->add_option_function<std::string>(
         "--size", [&c](const std::string& text) { c.source.size = parse_size(text); }, "Frame size of raw input")
      ->type_name("WxH")
      ->group("Input");
  app->add_option_function<double>(
         "--fps", [&c](double fps) { c.source.fps = checked_fps(fps); },
         "Frames a second (default: the file's; 25 for images and raw input)")
      ->type_name("RATE")
      ->group("Input");
  add_choice(app, "--truncated", c.source.truncation,
             {{"fail", media::Truncation::fail}, {"accept", media::Truncation::accept}},
             "What to do with a video that is cut short")
      ->group("Input");
  add_config(app, config_, overrides_);
  add_weights(app, c.weights);
  for (const ConfigOption& option : kTrackingOptions) add_config_option(app, option, "Tracking");
  add_config_option(app, kShortestEdge, "Speed");
  add_config_option(
      app, {"--longest-edge", "inference.longest_edge", "PIXELS", "Resize less where this would be exceeded"}, "Speed");
  add_choice(app, "--precision", c.precision, {{"f32", Precision::f32}, {"bf16", Precision::bf16}},
             "Arithmetic of the network; bf16 needs a GPU, or a CPU with AMX or AVX512-bf16")
      ->group("Speed");
  add_choice(app, "--plan", c.plan, {{"fast", pipeline::Plan::fast}, {"plain", pipeline::Plan::plain}},
             "Optimised network, or the modules as written")
      ->group("Speed");
  app->add_option("--threads", c.threads, "CPU threads (default: all cores)")->type_name("N")->group("Speed");
  app->add_option("--output,-o", c.output, "Folder for the results")->required()->type_name("DIR")->group("Output");
  add_existing(app);
  add_choice(
      app, "--overlay", c.overlay,
      {{"mp4", VideoFormat::automatic}, {"gif", VideoFormat::gif}, {"frames", VideoFormat::frames}, {"none", {}}},
      "Picture of the tracks (default mp4; gif where there is no encoder)")
      ->group("Output");
  app->add_flag_callback(
         "--id-maps", [&c] { c.id_maps = pipeline::IdMaps::png; },
         "Write a 16-bit PNG a frame: 0 background, otherwise track + 1")
      ->group("Output");
  app->add_flag_callback(
         "--dump-embeddings", [&c] { c.embeddings = pipeline::Embeddings::dump; },
         "Write logits, embeddings and small masks of every frame (embeddings.safetensors)")
      ->group("Output");
  app->add_option("--video-id", c.video_id, "video_id in results.json")->type_name("ID")->group("Output");
  add_quiet(app);
}

void Program::define_demo() {
  DemoCommand& c = demo_command_;
  CLI::App* const app = demo_ =
      add_command("demo", "Make two short clips, track them and write a page about it",
                  "Without --weights the network has test weights: everything runs, but its masks are meaningless.");
  app->add_option("--output,-o", c.output, "Folder for the results")
      ->capture_default_str()
      ->type_name("DIR")
      ->group("Output");
  add_existing(app);
  app->add_option("--frames", c.frames, "Frames of a clip")->capture_default_str()->type_name("N")->group("Input");
  app->add_option_function<std::string>(
         "--size", [&c](const std::string& text) { c.size = parse_size(text); }, "Size of the clips (default 480x288)")
      ->type_name("WxH")
      ->group("Input");
  app->add_option("--seed", c.seed, "Another seed, other clips")->capture_default_str()->type_name("N")->group("Input");
  add_config(app, config_, overrides_);
  app->add_option("--weights", c.weights.file, "Trained weights: .safetensors, .pth or .pkl")
      ->type_name("FILE")
      ->group("Model");
  add_device(app, c.weights.device);
  add_config_option(app, kShortestEdge, "Speed");
  app->add_option("--threads", c.threads, "CPU threads (default: all cores)")->type_name("N")->group("Speed");
  add_quiet(app);
}

void Program::define_pseudo() {
  using pseudo::Mode;
  PseudoCommand& c = pseudo_command_;
  CLI::App* const app = pseudo_ = add_command(
      "pseudo", "Make synthetic videos with exact masks",
      "Writes DIR/SPLIT/JPEGImages, DIR/SPLIT/instances.json (YouTube-VIS format), manifest.json and a clip of every "
      "video.\nExamples:\n"
      "  visage pseudo --output data --mode both --videos 100\n"
      "  visage pseudo --output data --coco coco/annotations/instances_train2017.json --backgrounds BG-20k/train "
      "--format jpg --clips none\n"
      "  visage pseudo --output again --manifest data/swap/manifest.json");
  app->add_option("--output,-o", c.output, "Folder for the data set")->required()->type_name("DIR")->group("Output");
  add_existing(app);
  app->add_option("--split", c.split, "Folder in it (default: the mode)")->type_name("NAME")->group("Output");
  app->add_option("--manifest", c.manifest, "Make the set of this manifest.json again, byte by byte")
      ->type_name("FILE")
      ->group("Sources");
  app->add_option("--coco", c.coco, "COCO instances whose objects are cut out (default: procedural shapes)")
      ->type_name("FILE")
      ->group("Sources");
  app->add_option("--images", c.images, "Folder of the COCO images (default: found)")
      ->type_name("DIR")
      ->group("Sources");
  app->add_option("--backgrounds", c.backgrounds, "Folder of background images, e.g. BG-20k (default: procedural)")
      ->type_name("DIR")
      ->group("Sources");
  decided_by_manifest_ = {
      add_choice(app, "--format", c.format, {{"png", pseudo::FrameFormat::png}, {"jpg", pseudo::FrameFormat::jpg}},
                 "Of the frames (default png)")
          ->group("Output"),
      add_choice(app, "--clips", c.clips, {{"mp4", Clips::mp4}, {"none", Clips::none}},
                 "Also write each video as a clip")
          ->group("Output"),
      app->add_option_function<double>(
             "--fps", [&c](double fps) { c.fps = checked_fps(fps); }, "Of the clips (default 12)")
          ->type_name("RATE")
          ->group("Output"),
      add_choice<std::string>(
          app, "--classes", c.classes,
          {{"ytvis_2019", "ytvis_2019"}, {"ytvis_2021", "ytvis_2021"}, {"ovis", "ovis"}, {"coco", "coco"}},
          "Data set whose classes the COCO objects get (default ytvis_2019)")
          ->group("Sources"),
      app->add_option("--videos", c.videos, "Number of videos")->capture_default_str()->type_name("N"),
      app->add_option("--frames", c.options.frames, "Frames a video")->capture_default_str()->type_name("N"),
      app->add_option_function<std::string>(
             "--size",
             [&c](const std::string& text) {
               if (text == "upstream")
                 c.options.frame_size = pseudo::FrameSize::upstream;
               else
                 c.options.size = parse_size(text);
             },
             "Frame size (default 640x360); upstream: drawn for every video as in the official generator")
          ->type_name("WxH"),
      app->add_option("--seed", c.options.seed, "Another seed, other videos")->capture_default_str()->type_name("N"),
      add_choice<std::vector<Mode>>(
          app, "--mode", c.modes,
          {{"track", {Mode::track}}, {"swap", {Mode::swap}}, {"both", {Mode::track, Mode::swap}}},
          "Objects keep their paths, or exchange them once (default swap); both: a set each of the same videos"),
      add_choice(app, "--swap-mode", c.options.swap_mode,
                 {{"derangement", pseudo::SwapMode::derangement}, {"upstream", pseudo::SwapMode::upstream}},
                 "Every object gets another path, or any permutation as in the official generator"),
      app->add_option("--least-objects", c.options.least_objects, "Objects a video")
          ->capture_default_str()
          ->type_name("N"),
      app->add_option("--most-objects", c.options.most_objects, "Objects a video")
          ->capture_default_str()
          ->type_name("N"),
      app->add_option("--curve-frames", c.options.curve_frames, "Frames of one curve; fewer are faster")
          ->capture_default_str()
          ->type_name("N")};
  add_quiet(app);
}

void Program::define_train() {
  TrainCommand& c = train_command_;
  CLI::App* const app = train_ =
      add_command("train", "Train a model",
                  "Examples:\n"
                  "  visage train --config configs/synthetic_small.toml --output runs/small\n"
                  "  visage train --output runs/small --resume\n"
                  "  visage train --output runs/small --resume --set train.steps=20000");
  add_config(app, config_, overrides_);
  app->add_option("-o,--output", c.run.folder,
                  "Folder of the run: metrics.jsonl, checkpoints, report.html, model.safetensors")
      ->required()
      ->type_name("DIR");
  app->add_option("--init", c.run.init_weights, "Weights to start from; what they lack is initialised")
      ->type_name("FILE");
  app->add_flag_callback(
      "--resume", [&c] { c.run.start = train::RunOptions::Start::resume; },
      "Continue from the newest checkpoint of the folder (--config: default is the one it was started with)");
  add_device(app, c.device);
  add_quiet(app);
}

void Program::define_eval() {
  EvalCommand& c = eval_command_;
  CLI::App* const app = eval_ =
      add_command("eval", "Score predictions against ground truth: AP, AR, HOTA, IDF1, ID switches",
                  "Examples:\n"
                  "  visage eval --results results.json --annotations valid.json\n"
                  "  visage eval --data data/swap --weights model.safetensors --config model.toml\n"
                  "  visage eval --data ytvis_2019 --annotations ytvis_2019/valid.json --images "
                  "ytvis_2019/valid/JPEGImages ...");
  app->add_option("--results", c.results, "results.json of any system, YouTube-VIS submission format")
      ->type_name("FILE")
      ->group("Input");
  app->add_option("--annotations", c.annotations,
                  "Ground truth, YouTube-VIS or OVIS format (default with --data: "
                  "DIR/instances.json)")
      ->type_name("FILE")
      ->group("Input");
  app->add_option("--data", c.data, "Data set to track with a model and to score")->type_name("DIR")->group("Input");
  app->add_option("--images", c.images, "Folder of its images (default DIR/JPEGImages)")
      ->type_name("DIR")
      ->group("Input");
  app->add_option("--video-id", c.video_ids, "Only this video; may be repeated")->type_name("ID")->group("Input");
  add_config(app, config_, overrides_);
  add_weights(app, c.weights);
  add_choice(app, "--precision", c.precision, {{"f32", Precision::f32}, {"bf16", Precision::bf16}},
             "Arithmetic of the network; bf16 needs a CPU with AMX or AVX512-bf16")
      ->group("Speed");
  app->add_option("--threads", c.threads, "CPU threads (default: all cores)")->type_name("N")->group("Speed");
  app->add_option("--min-score", c.tracking.min_score, "Least score of the tracks that HOTA, IDF1 and ID switches see")
      ->capture_default_str()
      ->type_name("0..1")
      ->group("Tracking");
  app->add_option("--json", c.json, "Also write all numbers here")->type_name("FILE")->group("Output");
  app->add_option("--output,-o", c.output, "Write what the model predicts here (results.json)")
      ->type_name("FILE")
      ->group("Output");
  add_quiet(app);
}

void Program::add_experiment(CLI::App* app, ExperimentCommand& command) {
  SetOptions& sets = command.sets;
  app->add_option("--data", sets.data,
                  "Folder with instances.json and JPEGImages; may be repeated, folders of one name are repetitions "
                  "(default: synthetic sets are made)")
      ->type_name("DIR")
      ->expected(1)
      ->take_all()
      ->group("Input");
  const char* const made = "Sets that are made";
  app->add_option("--videos", sets.videos, "Videos of a set")->capture_default_str()->type_name("N")->group(made);
  app->add_option("--seeds", sets.seeds, "Sets of each mode")->capture_default_str()->type_name("N")->group(made);
  app->add_option("--first-seed", sets.first_seed, "Seed of the first set")
      ->capture_default_str()
      ->type_name("N")
      ->group(made);
  app->add_option("--frames", sets.pseudo.frames, "Frames a video")->capture_default_str()->type_name("N")->group(made);
  app->add_option_function<std::string>(
         "--size", [&sets](const std::string& text) { sets.pseudo.size = parse_size(text); },
         "Frame size (default 640x360)")
      ->type_name("WxH")
      ->group(made);
  app->add_option("--keep", sets.keep, "Keep them in this folder, and use those that are there already")
      ->type_name("DIR")
      ->group(made);
  add_config(app, config_, overrides_);
  add_weights(app, command.weights);
  add_choice(app, "--precision", command.precision, {{"f32", Precision::f32}, {"bf16", Precision::bf16}},
             "Arithmetic of the network; bf16 needs a CPU with AMX or AVX512-bf16")
      ->group("Speed");
  app->add_option("--threads", command.threads, "CPU threads (default: all cores)")->type_name("N")->group("Speed");
  add_quiet(app);
}

void Program::define_sweep() {
  SweepCommand& c = sweep_command_;
  CLI::App* const app = sweep_ =
      add_command("sweep", "Reproduce the paper's tables: many settings of the tracker, one pass of the detector",
                  "Examples:\n"
                  "  visage sweep --weights model.safetensors --config model.toml\n"
                  "  visage sweep --data data/track --data data/swap --table 7 --weights ...\n"
                  "  visage sweep --data a/swap --data b/swap --table 6 --json alpha.json --weights ...");
  add_experiment(app, c.experiment);
  using experiments::Ablation;
  add_choice(app, "--table", c.tables,
             {{"all", {}},
              {"4", {Ablation::memory}},
              {"6", {Ablation::alpha}},
              {"7", {Ablation::pseudo}},
              {"window", {Ablation::window}},
              {"weighting", {Ablation::weighting}}},
             "Table of the paper, or frames or weights of the memory bank (default all)");
  app->add_option("--json", c.json, "Also write all numbers here")->type_name("FILE")->group("Output");
  app->add_option("--markdown", c.markdown, "Also write the tables into a section of this file")
      ->type_name("FILE")
      ->group("Output");
}

void Program::define_analyze() {
  CLI::App* const app =
      add_command("analyze", "Look into embeddings: visage analyze flip, visage analyze embeddings", "");
  app->require_subcommand(1);
  const auto add_markdown = [](CLI::App* command, std::string& file) {
    command->add_option("--markdown", file, "Also write the table into a section of this file")
        ->type_name("FILE")
        ->group("Output");
  };

  FlipCommand& f = flip_command_;
  flip_ = app->add_subcommand("flip", "Are objects found again in the mirrored frame, where they have changed places?");
  flip_->footer("Example: visage analyze flip --weights model.safetensors --config model.toml");
  add_experiment(flip_, f.experiment);
  flip_->add_option("--frames-each", f.frames_each, "Frames to mirror of every video")
      ->capture_default_str()
      ->type_name("N")
      ->group("Input");
  flip_->add_option("--json", f.json, "Also write all numbers here")->type_name("FILE")->group("Output");
  add_markdown(flip_, f.markdown);

  EmbeddingsCommand& e = embeddings_command_;
  e.experiment.sets.seeds = 1;
  e.experiment.sets.videos = 8;
  embeddings_ =
      app->add_subcommand("embeddings", "Draw the embeddings of objects by t-SNE, and say how far apart they are");
  embeddings_->footer(
      "Example: visage analyze embeddings --weights model.safetensors --config model.toml --html embeddings.html");
  add_experiment(embeddings_, e.experiment);
  embeddings_->add_option("--points", e.points, "Sightings of objects to take, from the first videos")
      ->capture_default_str()
      ->type_name("N")
      ->group("Input");
  embeddings_->add_option("--perplexity", e.tsne.perplexity, "Neighbours that count in t-SNE, about")
      ->capture_default_str()
      ->type_name("N")
      ->group("Picture");
  embeddings_->add_option("--seed", e.tsne.seed, "Another seed, another arrangement")
      ->capture_default_str()
      ->type_name("N")
      ->group("Picture");
  embeddings_->add_option("--html", e.html, "Draw into this page, which needs no other file")
      ->type_name("FILE")
      ->group("Output");
  embeddings_->add_option("--png", e.png, "Draw into this image")->type_name("FILE")->group("Output");
  add_markdown(embeddings_, e.markdown);
}

void Program::define_profile() {
  ProfileCommand& c = profile_command_;
  CLI::App* const profile =
      add_command("profile", "Where the time goes, stage by stage and op by op: visage profile track|train", "");
  profile->require_subcommand(1);
  profile_track_ = profile->add_subcommand("track", "A frame on its way from pixels to tracks");
  profile_track_->footer(
      "The frames are of a procedural clip. docs/profiling.md explains every column.\n"
      "Examples:\n"
      "  visage profile track\n"
      "  visage profile track --size 1280x720 --precision bf16 --json profile.json --trace trace.json\n"
      "  visage profile track --config zoo/synthetic_small/config.toml --weights "
      "zoo/synthetic_small/model.safetensors");
  profile_train_ = profile->add_subcommand("train", "A training step: data, losses, gradients, optimizer");
  profile_train_->footer("Example: visage profile train --config configs/synthetic_small.toml --trace trace.json");
  add_weights(profile_track_, c.weights);
  add_device(profile_train_, c.weights.device);
  add_choice(profile_track_, "--precision", c.precision, {{"f32", Precision::f32}, {"bf16", Precision::bf16}},
             "Arithmetic of the network; bf16 needs a CPU with AMX or AVX512-bf16")
      ->group("Speed");
  add_choice(profile_track_, "--plan", c.plan, {{"fast", pipeline::Plan::fast}, {"plain", pipeline::Plan::plain}},
             "Optimised network, or the modules as written")
      ->group("Speed");
  for (CLI::App* const app : {profile_track_, profile_train_}) {
    const bool track = app == profile_track_;
    app->add_option_function<std::string>(
           "--size", [&c](const std::string& text) { c.size = parse_size(text); },
           track ? "Of the frames (default 864x480)" : "Of the frames, where no --config says it (default 448x256)")
        ->type_name("WxH")
        ->group("Input");
    app->add_option(track ? "--frames" : "--steps", c.repeats, "Timed as they are, and as many again recorded")
        ->capture_default_str()
        ->type_name("N");
    app->add_option("--warmup", c.warmup, "Not timed, before them")->capture_default_str()->type_name("N");
    add_config(app, config_, overrides_);
    app->add_option("--threads", c.threads, "CPU threads (default: all cores)")->type_name("N")->group("Speed");
    app->add_option("--rows", c.rows, "Ops in the table")->capture_default_str()->type_name("N")->group("Output");
    app->add_option("--json", c.json, "Also write all numbers here")->type_name("FILE")->group("Output");
    app->add_option("--trace", c.trace, "Also write a timeline for ui.perfetto.dev or chrome://tracing")
        ->type_name("FILE")
        ->group("Output");
    add_quiet(app);
  }
}

void Program::define_inspect() {
  CLI::App* const app = inspect_ =
      add_command("inspect", "List the tensors of a weight file, or make test weights",
                  "Examples:\n"
                  "  visage inspect model_final.pth\n"
                  "  visage inspect --make-test-weights public test.safetensors --config configs/tiny.toml");
  app->add_option("FILE", inspect_options_.file, "Weight file to list, or to make")->required();
  app->add_option("--make-test-weights", test_weights_name_,
                  "Write the deterministic weights of this name (public: those of the reference numbers) to FILE, "
                  ".safetensors or .pth")
      ->type_name("NAME");
  add_config(app, config_, overrides_);
}

void Program::define_convert() {
  CLI::App* const app = convert_ = add_command("convert", "Rewrite a weight file as .safetensors or .pth",
                                               "Names stay as they are, and values too unless --dtype rounds them.");
  app->add_option("IN", convert_options_.input, "Weight file: safetensors, PyTorch .pth, detectron2 .pkl")->required();
  app->add_option("OUT", convert_options_.output, "Name of the new file; its ending says the format")->required();
  app->add_option("--blend", convert_options_.blend, "Mean with another file of the same model")->type_name("FILE");
  app->add_option("--share", convert_options_.share, "Share of that file in the mean")->capture_default_str();
  add_choice(app, "--dtype", convert_options_.dtype, {{"f32", DType::f32}, {"f16", DType::f16}, {"bf16", DType::bf16}},
             "Store real numbers in this type; f16 and bf16 halve the file, and loading converts back");
}

void Program::define_data() {
  DataCommand& c = data_command_;
  data_ = add_command("data", "Look at data sets: visage data check PATH, visage data config PATH", "");
  data_->require_subcommand(1);
  CLI::App* const check =
      data_->add_subcommand("check", "List what a data set holds and everything that is wrong with it");
  check->footer(
      "YouTube-VIS, OVIS and COCO instances are read; docs/data.md has the layouts. Exit code 1: there are errors.\n"
      "Examples:\n"
      "  visage data check ytvis_2021/train.json\n"
      "  visage data check my_videos --frames all");
  data_config_ = data_->add_subcommand("config", "Print a configuration that trains on a data set");
  data_config_->footer(
      "What it leaves out is the official recipe for YouTube-VIS 2019: docs/configuration.md.\n"
      "Example:\n"
      "  visage data config my_videos > my.toml\n"
      "  visage train --config my.toml --init model_final_3c8ec9.pkl --output runs/mine");
  for (CLI::App* const app : {check, data_config_}) {
    app->add_option("PATH", c.path, "Annotation file, or a folder with one")->required();
    app->add_option("--images", c.options.image_root, "Folder that file names are relative to (default: found)")
        ->type_name("DIR");
  }
  add_choice(
      check, "--frames", c.options.frames,
      {{"none", train::FrameCheck::none}, {"sample", train::FrameCheck::sample}, {"all", train::FrameCheck::all}},
      "Image files: leave alone, see that all exist and look into some (default), or decode all");
}

void Program::complete(ExperimentCommand& command, const Strings& overrides) const {
  command.config = config_;
  command.overrides = overrides;
  command.verbosity = verbosity_;
}

void Program::dispatch() {
  if (verbosity_ == Verbosity::quiet) log::set_threshold(log::Level::error);
  // What has an option of its own wins over --set, which wins over the file.
  Strings overrides = overrides_;
  overrides.insert(overrides.end(), typed_.begin(), typed_.end());
  if (track_->parsed()) {
    track_command_.config = config_;
    track_command_.overrides = overrides;
    track_command_.existing = existing_;
    track_command_.verbosity = verbosity_;
    return run_track(track_command_);
  }
  if (demo_->parsed()) {
    demo_command_.config = config_;
    demo_command_.overrides = overrides;
    demo_command_.existing = existing_;
    demo_command_.verbosity = verbosity_;
    if (!demo_command_.weights.file.empty()) demo_command_.weights.test_weights.clear();
    return run_demo(demo_command_);
  }
  if (pseudo_->parsed()) {
    pseudo_command_.existing = existing_;
    pseudo_command_.verbosity = verbosity_;
    for (const CLI::Option* const option : decided_by_manifest_)
      check<UsageError>(pseudo_command_.manifest.empty() || option->count() == 0,
                        "--manifest decides what is in the set; leave out ", option->get_name());
    std::ostream silent(nullptr);
    return run_pseudo(pseudo_command_, verbosity_ == Verbosity::quiet ? silent : std::cerr);
  }
  if (train_->parsed()) {
    train::RunOptions& run = train_command_.run;
    if (config_.empty() && run.start == train::RunOptions::Start::resume) config_ = run.folder + "/config.toml";
    run.config = config::load_config(config_, overrides);
    run.device = use_device(train_command_.device);
    train_command_.verbosity = verbosity_;
    return train(train_command_, std::cerr);
  }
  if (eval_->parsed()) {
    eval_command_.config = config_;
    eval_command_.overrides = overrides;
    eval_command_.verbosity = verbosity_;
    return run_eval(eval_command_, std::cout);
  }
  if (sweep_->parsed()) {
    complete(sweep_command_.experiment, overrides);
    return run_sweep(sweep_command_, std::cout);
  }
  if (flip_->parsed()) {
    complete(flip_command_.experiment, overrides);
    return run_flip(flip_command_, std::cout);
  }
  if (embeddings_->parsed()) {
    complete(embeddings_command_.experiment, overrides);
    return run_embeddings(embeddings_command_, std::cout);
  }
  profile_command_.config = config_;
  profile_command_.overrides = overrides;
  if (profile_track_->parsed()) return profile_track(profile_command_, std::cout);
  if (profile_train_->parsed()) return profile_train(profile_command_, std::cout);
  if (data_config_->parsed()) return print_config(data_command_, std::cout);
  if (data_->parsed()) return check_data(data_command_, std::cout);
  if (convert_->parsed()) return convert(convert_options_, std::cout);
  if (test_weights_name_.empty()) return inspect(inspect_options_, std::cout);
  Model model(config::load_config(config_, overrides).model);
  make_test_weights(model.params(), test_weights_name_, inspect_options_.file, std::cout);
}

int Program::run(int argc, char** argv) {
  check_command(app_, argc, argv);
  if (argc > 1 && argv[1][0] != '-') name_ += std::string(" ") + argv[1];
  if ((name_ == "visage data" || name_ == "visage analyze" || name_ == "visage profile") && argc > 2 &&
      argv[2][0] != '-')
    name_.append(" ").append(argv[2]);
  if (argc < 2) {
    std::fputs(app_.help().c_str(), stderr);
    return 2;
  }
  track_command_.arguments.assign(argv, argv + argc);
  demo_command_.arguments = track_command_.arguments;
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app_.exit(error);  // help and version
    explain(app_, error, argc, argv);
  }
  dispatch();
  std::cout.flush();
  check<InputError>(std::cout.good(), "cannot write to the standard output");
  return 0;
}

}  // namespace

int run(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows past its limit is an error of write(), not an end of the process
  Program program;
  const auto report = [&](const char* message, int code) {
    std::string line = program.name() + ": " + message;
    for (std::size_t at; (at = line.find("\n  ")) != std::string::npos;) line.replace(at, 3, "; ");
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::fprintf(stderr, "%s\n", line.c_str());
    return code;
  };
  try {
    return program.run(argc, argv);
  } catch (const UsageError& error) {
    return report(error.what(), 2);
  } catch (const std::bad_alloc&) {
    return report("out of memory; use smaller frames (--shortest-edge) or a smaller model", 1);
  } catch (const std::exception& error) {
    return report(error.what(), 1);
  }
}

}  // namespace visage::cli
