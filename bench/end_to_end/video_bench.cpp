// Whole frames through the official R50 architecture (100 queries): resize, network, tracker, masks at the output
// size, run lengths. Deterministic weights; half of all mask pixels are foreground, more than in real videos. Reported
// are wall time and core-seconds (CPU time of all threads) a frame and the share of every stage.
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

const Model& model() {
  static const auto made = [] {
    auto m = std::make_unique<Model>(ModelConfig{});
    nn::fill_test_weights(m->params(), "public");
    return m;
  }();
  return *made;
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

void track_frames(benchmark::State& state, media::Size size, Precision precision) {
  std::unique_ptr<pipeline::VideoPipeline> video;
  try {
    video = std::make_unique<pipeline::VideoPipeline>(
        model(), pipeline::PipelineOptions{.precision = precision, .shortest_edge = size.height, .window = 1});
  } catch (const UsageError& error) {
    state.SkipWithError(error.what());
    return;
  }
  int t = 0;
  for (; t < 2; ++t) benchmark::DoNotOptimize(video->feed(frame_of(size, t)));  // packs weights, plans primitives
  reset_stage_times();
  for (auto _ : state) {
    state.PauseTiming();
    media::Frame frame = frame_of(size, t++);
    state.ResumeTiming();
    benchmark::DoNotOptimize(video->feed(std::move(frame)));
  }
  for (const StageTime& stage : stage_times())
    state.counters[stage.name + "_cpu_ms"] = 1e3 * stage.cpu_seconds / static_cast<double>(stage.calls);
  // Of the whole process: run one case at a time (--benchmark_filter) to have its own peak.
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["process_peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1024;
}

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
