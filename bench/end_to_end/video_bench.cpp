// Whole frames through the official R50 architecture (100 queries): resize, network, tracker, masks at the output
// size, run lengths. Deterministic weights; half of all mask pixels are foreground, more than in real videos. Reported
// are wall time and core-seconds (CPU time of all threads) a frame and the share of every stage. track_chunks: the
// offline model on chunks of 10 frames, 3 of which the chunk before has; an iteration is the 7 new ones.
#include "nn/init/test_weights.h"
#include "tensor/cpu/parallel.h"
#include "tensor/stage_timer.h"
#include "visage/model/model.h"
#include "visage/pipeline/video_pipeline.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <memory>
#include <sys/resource.h>

namespace {

using namespace visage;

std::unique_ptr<Model> make_model(Mode mode) {
  ModelConfig config;
  config.detector.mode = mode;
  auto model = std::make_unique<Model>(config);
  nn::fill_test_weights(model->params(), "public");
  return model;
}

const Model& model(Mode mode) {
  static const std::unique_ptr<Model> online = make_model(Mode::online);
  if (mode == Mode::online) return *online;
  static const std::unique_ptr<Model> offline = make_model(Mode::offline);
  return *offline;
}

// A moving pattern, so that no two frames are equal.
media::Frame frame_of(media::Size size, int t) {
  media::Frame frame{media::Image(size), "frame", t};
  for (int y = 0; y < size.height; ++y)
    for (int x = 0; x < size.width * 3; ++x)
      frame.image.row(y)[x] = static_cast<std::uint8_t>(127 + 100 * std::sin(0.02 * x + 0.03 * y + 0.3 * t) +
                                                        20 * std::sin(0.9 * x * (1 + y % 7)));
  return frame;
}

/// An iteration feeds `frames` frames, after `before` that are not measured.
void track(benchmark::State& state, Mode mode, media::Size size, Precision precision, int before, int frames) {
  std::unique_ptr<pipeline::VideoPipeline> video;
  try {
    video = std::make_unique<pipeline::VideoPipeline>(
        model(mode), pipeline::PipelineOptions{.precision = precision, .shortest_edge = size.height, .window = 1});
  } catch (const UsageError& error) {
    state.SkipWithError(error.what());
    return;
  }
  int t = 0;
  for (; t < before; ++t) benchmark::DoNotOptimize(video->feed(frame_of(size, t)));  // packs weights, plans primitives
  reset_stage_times();
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<media::Frame> fed;
    for (int i = 0; i < frames; ++i) fed.push_back(frame_of(size, t++));
    state.ResumeTiming();
    for (media::Frame& frame : fed) benchmark::DoNotOptimize(video->feed(std::move(frame)));
  }
  const auto all_frames = static_cast<double>(frames) * static_cast<double>(state.iterations());
  for (const StageTime& stage : stage_times())
    state.counters[stage.name + "_cpu_ms"] = 1e3 * stage.cpu_seconds / all_frames;
  // Of the whole process: run one case at a time (--benchmark_filter) to have its own peak.
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["process_peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1024;
}

void track_frames(benchmark::State& state, media::Size size, Precision precision) {
  track(state, Mode::online, size, precision, 2, 1);
}

void track_chunks(benchmark::State& state, media::Size size, Precision precision) {
  const pipeline::PipelineOptions chunks;
  track(state, Mode::offline, size, precision, chunks.chunk, chunks.chunk - chunks.overlap);
}

BENCHMARK_CAPTURE(track_chunks, 360x640_f32, media::Size{640, 360}, Precision::f32)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Iterations(2);
BENCHMARK_CAPTURE(track_chunks, 360x640_bf16, media::Size{640, 360}, Precision::bf16)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Iterations(2);
BENCHMARK_CAPTURE(track_frames, 480x864_f32, media::Size{864, 480}, Precision::f32)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Iterations(6);
BENCHMARK_CAPTURE(track_frames, 360x640_f32, media::Size{640, 360}, Precision::f32)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Iterations(8);
BENCHMARK_CAPTURE(track_frames, 480x864_bf16, media::Size{864, 480}, Precision::bf16)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Iterations(10);
BENCHMARK_CAPTURE(track_frames, 360x640_bf16, media::Size{640, 360}, Precision::bf16)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Iterations(10);

}  // namespace

int main(int argc, char** argv) {
  visage::cpu::limit_spinning(argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
