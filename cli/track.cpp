#include "cli/track.h"

#include "cli/interrupt.h"
#include "cli/run_record.h"
#include "tensor/cpu/parallel.h"
#include "tensor/device.h"
#include "tensor/log.h"
#include "tensor/stage_timer.h"
#include "visage/media/resize.h"
#include "visage/pipeline/embedding_dump.h"

#include <chrono>
#include <cstdio>
#include <deque>

namespace visage::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// throws UsageError where the named device cannot run the model.
void check_device(const std::string& name) {
  if (name == "auto") return;
  check<UsageError>(parse_device(name).type == DeviceType::cpu, "device ", name,
                    ": the CUDA kernels of the model are not part of this build; use --device cpu");
}

void say_device(const std::string& name) {
  if (name != "auto") return;
  if (cuda_device_count() > 0)
    log::info("device: cpu; the CUDA kernels of the model are not part of this build");
  else
    static_cast<void>(parse_device(name));  // says why
}

pipeline::PipelineOptions pipeline_options(const TrackCommand& command, const Config& config) {
  const InferenceConfig& inference = config.inference;
  return {.plan = command.plan,
          .precision = command.precision,
          .shortest_edge = inference.shortest_edge,
          .longest_edge = inference.longest_edge,
          .window = inference.window,
          .assembly = {.scores = inference.scores, .top_k = inference.top_k, .min_score = inference.min_score},
          .tracking = config.tracking};
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
        pipeline_(model, pipeline_options(command, config)),
        writer_(folder, {.clip = source.info(),
                         .class_names = config.class_names,
                         .overlay = command.overlay,
                         .id_maps = command.id_maps,
                         .video_id = command.video_id}),
        progress_(source.info().frames, command.verbosity) {
    if (command.embeddings == Embeddings::dump) {
      embeddings_.emplace(folder.file("embeddings.safetensors"));
      pipeline_.observe_detections(
          [this](const Detection& batch, std::int64_t item) { embeddings_->add(batch, item); });
    }
  }

  TrackSummary run(const Interrupt& interrupt) {
    const Clock::time_point start = Clock::now();
    while (std::optional<media::Frame> frame = next_frame(interrupt)) {
      arrivals_.push_back(Clock::now());
      emit(pipeline_.feed(std::move(*frame)));
    }
    emit(pipeline_.flush());
    summary_.interrupted = interrupt.requested();
    check<InputError>(summary_.frames > 0, "",
                      summary_.interrupted ? "interrupted before the first frame was done; nothing was written"
                                           : "no frame in " + command_.source.path + "; check that it is complete");
    finish();
    summary_.seconds = seconds_since(start);
    write_run_record(folder_.file("run.json"), command_, config_, source_.info(), summary_);
    return std::move(summary_);
  }

 private:
  std::optional<media::Frame> next_frame(const Interrupt& interrupt) {
    if (interrupt.requested()) return std::nullopt;
    const StageTimer timer("decode");
    try {
      return source_.next();
    } catch (const InputError&) {
      if (interrupt.requested()) return std::nullopt;  // the signal cut the read short
      throw;
    }
  }

  void emit(const std::vector<pipeline::TrackedFrame>& done) {
    for (const pipeline::TrackedFrame& tracked : done) {
      writer_.add(tracked);
      if (embeddings_) names_.push_back(tracked.frame.name);
      summary_.latencies.push_back(seconds_since(arrivals_.front()));
      arrivals_.pop_front();
      progress_.update(++summary_.frames);
    }
  }

  void finish() {
    const media::FrameInfo& clip = source_.info();
    if (embeddings_) {
      const InferenceConfig& inference = config_.inference;
      const media::Size resized = media::resized_size(clip.size, inference.shortest_edge, inference.longest_edge);
      const auto padded = [](int side) { return std::int64_t{(side + 31) / 32 * 32}; };
      embeddings_->close(clip.name, names_,
                         {.padded = {padded(resized.height), padded(resized.width)},
                          .image = {resized.height, resized.width},
                          .output = {clip.size.height, clip.size.width}});
    }
    writer_.finish(pipeline_);
    summary_.files = writer_.files();
    if (embeddings_) summary_.files.push_back("embeddings.safetensors");
    summary_.files.push_back("run.json");
    summary_.rows = writer_.rows();
  }

  const TrackCommand& command_;
  const Config& config_;
  media::FrameSource& source_;
  const pipeline::OutputFolder& folder_;
  pipeline::VideoPipeline pipeline_;
  pipeline::OutputWriter writer_;
  std::optional<pipeline::EmbeddingDump> embeddings_;
  std::vector<std::string> names_;
  std::deque<Clock::time_point> arrivals_;
  TrackSummary summary_;
  Progress progress_;
};

}  // namespace

TrackSummary track(const TrackCommand& command) {
  const Config config = config::load_config(command.config, command.overrides);
  check_device(command.device);
  check<UsageError>(command.threads >= 0, "threads must be at least 1, or 0 for all cores; got ", command.threads);
  check_choice(command.weights);
  const Interrupt interrupt;
  const std::unique_ptr<media::FrameSource> source = media::open_source(command.source);
  const pipeline::OutputFolder folder(command.output, command.existing);
  if (command.threads > 0) cpu::set_num_threads(command.threads);
  std::vector<std::string> notes;
  const std::unique_ptr<Model> model = load_model(config.model, command.weights, notes);
  say_device(command.device);
  for (const std::string& note : notes) log::info(note);
  folder.clear();
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

}  // namespace visage::cli
