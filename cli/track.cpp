#include "cli/track.h"

#include "cli/classes.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/run_record.h"
#include "cli/threads.h"
#include "tensor/cpu/parallel.h"
#include "tensor/log.h"
#include "tensor/stage_timer.h"
#include "visage/config/pipeline_options.h"
#include "visage/pipeline/class_name.h"

#include <chrono>
#include <cstdio>
#include <deque>
#include <exception>
#include <memory>

namespace visage::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Calls fn(); an E gets the option that helps appended to its message.
template <class E, class F>
auto with_remedy(const char* remedy, F&& fn) {
  try {
    return fn();
  } catch (const E& error) {
    throw E(std::string(error.what()) + remedy);
  }
}

constexpr const char* kNothingDone = "interrupted before the first frame was done; nothing was written";

// `interrupt` outlives the source.
std::unique_ptr<media::FrameSource> open_input(media::SourceOptions source, const Interrupt& interrupt) {
  source.stop = [&interrupt] { return interrupt.requested(); };
  try {
    return with_remedy<media::UnknownStreamError>(", with --size WIDTHxHEIGHT",
                                                  [&] { return media::open_source(source); });
  } catch (const InputError&) {
    check<InputError>(!interrupt.requested(), kNothingDone);
    throw;
  }
}

// Indices of the classes that are written; none: all.
std::vector<int> chosen_labels(const std::string& classes, const Config& config) {
  std::vector<annotation::Category> categories;
  for (int label = 0; label < config.model.detector.num_classes; ++label)
    categories.push_back(
        {.id = label + 1, .name = pipeline::class_name(config.class_names, label), .supercategory = {}});
  std::vector<int> labels;
  for (const std::int64_t id : chosen_classes(classes, categories)) labels.push_back(static_cast<int>(id) - 1);
  return labels;
}

// One clip on its way through the pipeline into the files.
class TrackRun {
 public:
  TrackRun(const TrackCommand& command, const Config& config, media::FrameSource& source, const Model& model,
           const pipeline::OutputFolder& folder)
      : command_(command),
        config_(config),
        source_(source),
        folder_(folder),
        pipeline_(model, config::pipeline_options(config, command.plan, command.precision)),
        writer_(folder, {.clip = source.info(),
                         .class_names = config.class_names,
                         .labels = chosen_labels(command.classes, config),
                         .overlay = command.overlay,
                         .id_maps = command.id_maps,
                         .embeddings = command.embeddings,
                         .video_id = command.video_id}),
        progress_(source.info().frames, command.verbosity) {
    if (command.embeddings != pipeline::Embeddings::discard)
      pipeline_.observe_queries([this](const pipeline::QueryFrame& queries) { writer_.observe(queries); });
  }

  TrackSummary run(const Interrupt& interrupt) {
    const Clock::time_point start = Clock::now();
    while (std::optional<media::Frame> frame = next_frame(interrupt)) {
      arrivals_.push_back(Clock::now());
      emit(pipeline_.feed(std::move(*frame)));
    }
    emit(pipeline_.flush());
    summary_.interrupted = interrupt.requested();
    check<InputError>(
        summary_.frames > 0, "",
        summary_.interrupted ? kNothingDone : "no frame in " + command_.source.path + "; check that it is complete");
    finish(start);
    return std::move(summary_);
  }

 private:
  std::optional<media::Frame> next_frame(const Interrupt& interrupt) {
    if (interrupt.requested()) return std::nullopt;
    const StageTimer timer("decode");
    return with_remedy<media::TruncatedError>(" with --truncated accept", [this] { return source_.next(); });
  }

  void emit(const std::vector<pipeline::TrackedFrame>& done) {
    for (const pipeline::TrackedFrame& tracked : done) {
      writer_.add(tracked);
      summary_.latencies.push_back(seconds_since(arrivals_.front()));
      arrivals_.pop_front();
      progress_.update(++summary_.frames);
    }
  }

  // A file that failed after results.json was complete does not take run.json with it.
  void finish(Clock::time_point start) {
    std::exception_ptr failed;
    try {
      writer_.finish(pipeline_);
    } catch (const InputError&) {
      if (writer_.files().empty()) throw;
      failed = std::current_exception();
    }
    summary_.files = writer_.files();
    summary_.files.push_back("run.json");
    summary_.rows = writer_.rows();
    summary_.complete = !summary_.interrupted && !failed;
    summary_.seconds = seconds_since(start);
    if (!failed) folder_.remove_earlier(summary_.files);
    try {
      write_run_record(folder_.file("run.json"), command_, config_, source_.info(), summary_);
    } catch (const InputError&) {
      if (!failed) throw;
    }
    if (failed) std::rethrow_exception(failed);
  }

  const TrackCommand& command_;
  const Config& config_;
  media::FrameSource& source_;
  const pipeline::OutputFolder& folder_;
  pipeline::VideoPipeline pipeline_;
  pipeline::OutputWriter writer_;
  std::deque<Clock::time_point> arrivals_;
  TrackSummary summary_;
  Progress progress_;
};

constexpr ConfigOption kTrackingOptions[] = {
    kMode,
    {"--chunk", "inference.chunk", "N", "Frames that an offline model sees together"},
    {"--overlap", "inference.overlap", "N", "Frames that two chunks share; half of them at most are taken"},
    {"--scores", "inference.scores", "video|online",
     "Classes and scores from the whole video, at its end, or from the frames so far, with every frame"},
    {"--window", "inference.window", "N", "Frames detected together; results do not depend on it"},
    kTracker,
    {"--alpha", "tracking.alpha", "0..1", "Weight of appearance against object similarity"},
    {"--memory", "tracking.window", "W", "Frames the memory bank keeps"},
    {"--weighting", "tracking.weighting", "paper|release", "Whether the newest frame weighs most or least"},
    {"--min-score", "inference.min_score", "0..1", "Least score of objects in the overlay and in tracks.jsonl"},
    {"--top-k", "inference.top_k", "N", "Rows of results.json; 0: as many as there are classes"},
};

}  // namespace

TrackSummary track(const TrackCommand& command) {
  const Config config = config::load_config(command.config, command.overrides, command.weights.file);
  check_threads(command.threads);
  check_choice(command.weights);
  check<UsageError>(command.embeddings == pipeline::Embeddings::discard || config.model.detector.mode == Mode::online,
                    "an offline model has no embeddings; leave out --dump-embeddings");
  (void)chosen_labels(command.classes, config);  // refuses an unknown class before anything is opened
  const Interrupt interrupt;
  const pipeline::OutputFolder folder =
      with_remedy<pipeline::FolderInUseError>(", or pass --overwrite to replace the results in it",
                                              [&] { return pipeline::OutputFolder(command.output, command.existing); });
  const std::unique_ptr<media::FrameSource> source = open_input(command.source, interrupt);
  folder.check_inputs(source->files());
  if (command.threads > 0) cpu::set_num_threads(command.threads);
  std::vector<std::string> notes;
  const std::unique_ptr<Model> model = load_model(config.model, command.weights, notes);
  for (const std::string& note : notes) log::info(note);
  reset_stage_times();
  TrackRun run(command, config, *source, *model, folder);
  return run.run(interrupt);
}

void run_track(const TrackCommand& command) {
  const TrackSummary summary = track(command);
  check<Interrupted>(!summary.interrupted, "interrupted; the results in ", command.output, " cover the first ",
                     summary.frames, summary.frames == 1 ? " frame" : " frames");
  std::string files;
  for (const std::string& file : summary.files) files += (files.empty() ? "" : ", ") + file;
  char figures[96];
  std::snprintf(figures, sizeof figures, "%lld frames in %.1f s (%.2f fps)", static_cast<long long>(summary.frames),
                summary.seconds, summary.seconds > 0 ? static_cast<double>(summary.frames) / summary.seconds : 0);
  log::info(command.output, ": ", figures, ", ", summary.rows, " rows in results.json; ", files);
}

void define_track(CLI::App& program, const Strings& arguments) {
  const auto command = std::make_shared<TrackCommand>();
  TrackCommand& c = *command;
  c.arguments = arguments;
  CLI::App& app =
      add_command(program, "track", "Track the objects of a video",
                  "Examples:\n"
                  "  visage track clip.mp4 --weights visage_r50.pth --output out\n"
                  "  visage track 'frames/*.png' --weights model.safetensors --scores online --output out\n"
                  "  visage track camera --follow 10 --scores online --weights model.safetensors --output out\n"
                  "  ffmpeg -i clip.mp4 -f rawvideo -pix_fmt rgb24 - | visage track - --size 1280x720 --fps 30 ...");
  app.add_option("INPUT", c.source.path, "Video, image, folder or quoted pattern of images, named pipe, or - for stdin")
      ->required();
  app.add_option("--start", c.source.start, "First frame")->type_name("N")->group("Input");
  app.add_option("--stride", c.source.stride, "Take every N-th frame")->type_name("N")->group("Input");
  app.add_option("--max-frames", c.source.max_frames, "Stop after N frames")->type_name("N")->group("Input");
  add_size(app, c.source.size, "A pipe or stdin carries raw RGB24 frames of this size (default: a video)")
      ->group("Input");
  app.add_option("--follow", c.source.follow,
                 "Images are still being written: wait for more until none came for so long (inf: until Ctrl-C)")
      ->type_name("SECONDS")
      ->group("Input");
  app.add_option_function<double>(
         "--fps", [&c](double fps) { c.source.fps = checked_fps(fps); },
         "Frames a second (default: the file's; 25 for images and raw input)")
      ->type_name("RATE")
      ->group("Input");
  add_choice(app, "--truncated", c.source.truncation,
             {{"fail", media::Truncation::fail}, {"accept", media::Truncation::accept}},
             "What to do with a video that is cut short")
      ->group("Input");
  add_config(app, c.config, c.overrides);
  add_weights(app, c.weights);
  for (const ConfigOption& option : kTrackingOptions) add_config_option(app, option, c.overrides, "Tracking");
  app.add_option("--classes", c.classes, "Only objects of these classes: names or ids, separated by commas")
      ->type_name("LIST")
      ->group("Output");
  add_config_option(app, kShortestEdge, c.overrides, "Speed");
  add_config_option(app,
                    {"--longest-edge", "inference.longest_edge", "PIXELS", "Resize less where this would be exceeded"},
                    c.overrides, "Speed");
  add_precision(app, c.precision);
  add_plan(app, c.plan);
  add_threads(app, c.threads);
  app.add_option("--output,-o", c.output, "Folder for the results")->required()->type_name("DIR")->group("Output");
  add_existing(app, c.existing);
  using media::VideoFormat;
  add_choice(
      app, "--overlay", c.overlay,
      {{"mp4", VideoFormat::automatic}, {"gif", VideoFormat::gif}, {"frames", VideoFormat::frames}, {"none", {}}},
      "Picture of the tracks (default mp4; gif where there is no encoder)")
      ->group("Output");
  app.add_flag_callback(
         "--id-maps", [&c] { c.id_maps = pipeline::IdMaps::png; },
         "Write a 16-bit PNG a frame: 0 background, otherwise track + 1")
      ->group("Output");
  app.add_flag_callback(
         "--dump-embeddings", [&c] { c.embeddings = pipeline::Embeddings::dump; },
         "Write logits, embeddings and small masks of every frame (embeddings.safetensors)")
      ->group("Output");
  app.add_option("--video-id", c.video_id, "video_id in results.json")->type_name("ID")->group("Output");
  add_quiet(app, &c.verbosity);
  app.final_callback([command] { run_track(*command); });
}

}  // namespace visage::cli
