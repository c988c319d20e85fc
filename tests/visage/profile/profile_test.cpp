#include "ops/elementwise/elementwise.h"
#include "tensor/error.h"
#include "tensor/stage_timer.h"
#include "visage/profile/report.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace visage::profile {
namespace {

using nlohmann::json;
using testing::ElementsAre;

// Two units of 10 s each: a stage of 6 s with an op of 4 s, of which 1 s is an op inside it, and an op of 2 s outside.
Measurement two_units() {
  Measurement m{.unit = "frame", .device = {}, .latencies = {3, 1, 2}, .spans = {}};
  const auto add = [&m](Span::Kind kind, const char* name, int parent, double start, double seconds) -> Span& {
    m.spans.push_back({.kind = kind,
                       .name = name,
                       .parent = parent,
                       .host_start = start,
                       .host_seconds = seconds,
                       .start = start,
                       .seconds = seconds,
                       .memory_before = 100,
                       .memory_after = 100});
    return m.spans.back();
  };
  using enum Span::Kind;
  for (const double at : {0., 20.}) {
    const int unit = static_cast<int>(m.spans.size());
    add(stage, "frame", -1, at, 10);
    add(stage, "decoder", unit, at + 1, 6);
    add(op, "linear", unit + 1, at + 1, 4).work = Work{.bytes = 30, .flops = 60};
    add(op, "cast", unit + 2, at + 2, 1);
    add(op, "copy", unit, at + 7, 2).memory_after = 300;
  }
  return m;
}

TEST(Profile, SumsStagesAndOps) {
  const Summary summary = summarise(two_units());
  EXPECT_EQ(summary.units, 2);
  EXPECT_EQ(summary.seconds, 20);
  EXPECT_EQ(summary.p50, 2);
  EXPECT_EQ(summary.p99, 3);
  EXPECT_EQ(summary.recording_cost, 4) << "10 s instead of 2 s";
  EXPECT_EQ(summary.peak_memory, 300u);
  ASSERT_EQ(summary.stages.size(), 2u);
  const Row &decoder = summary.stages[0], &other = summary.stages[1];
  EXPECT_EQ(decoder.stage, "decoder");
  EXPECT_EQ(decoder.calls, 2);
  EXPECT_EQ(decoder.seconds, 12);
  EXPECT_EQ(decoder.work->flops, 120);
  EXPECT_EQ(decoder.flops_per_second(), 10);
  EXPECT_EQ(other.stage, "other");
  EXPECT_EQ(other.seconds, 8);
  EXPECT_FALSE(other.work);
  std::vector<std::string> ops;
  double seconds = 0;
  for (const Row& row : summary.ops) {
    ops.push_back(row.stage + "/" + row.op);
    seconds += row.seconds;
  }
  EXPECT_THAT(ops, ElementsAre("decoder/linear", "other/copy", "decoder/cast"));
  EXPECT_EQ(seconds, 12) << "of every op without the ops inside it";
  EXPECT_EQ(summary.ops[0].seconds, 6);
  EXPECT_EQ(summary.ops[0].work->bytes, 60);
  EXPECT_FALSE(summary.ops[1].work);
}

TEST(Profile, NamesStagesInStagesAndDropsWorkThatIsKnownInPart) {
  Measurement m = two_units();
  m.spans[2].kind = Span::Kind::stage;  // "linear" of the first unit
  m.spans[2].work.reset();
  m.spans[3].work = Work{.bytes = 1, .flops = 1};  // "cast" of the first unit only
  const Summary summary = summarise(m);
  ASSERT_EQ(summary.stages.size(), 3u);
  EXPECT_EQ(summary.stages[1].stage, "decoder > linear");
  EXPECT_EQ(summary.stages[1].depth, 1);
  EXPECT_EQ(summary.stages[0].work->flops, 61);
  double sum = 0;
  for (const Row& row : summary.stages) sum += row.depth == 0 ? row.seconds : 0;
  EXPECT_EQ(sum, summary.seconds);
}

// What a real op leaves behind, on the CPU.
Measurement relu_and_softmax() {
  const Tensor x = Tensor::zeros({64, 100});
  return measure({.unit = "frame", .warmup = 1, .repeats = 3}, [&] {
    const StageTimer stage("stage");
    (void)ops::softmax(ops::relu(x));
  });
}

TEST(Profile, MeasuresOps) {
  const Measurement m = relu_and_softmax();
  EXPECT_EQ(m.latencies.size(), 3u);
  const Summary summary = summarise(m);
  EXPECT_EQ(summary.units, 3);
  ASSERT_EQ(summary.ops.size(), 2u);
  for (const Row& row : summary.ops) {
    EXPECT_THAT(row.op, testing::AnyOf("relu", "softmax"));
    EXPECT_EQ(row.stage, "stage");
    EXPECT_EQ(row.calls, 3);
  }
  double sum = 0;
  for (const Row& row : summary.stages) sum += row.seconds;
  EXPECT_NEAR(sum, summary.seconds, 1e-9);
}

TEST(Profile, RefusesToMeasureNothing) {
  EXPECT_THROW((void)measure({.repeats = 0}, [] {}), UsageError);
  EXPECT_THROW((void)measure({.warmup = -1}, [] {}), UsageError);
}

TEST(Profile, JsonHasEveryColumn) {
  const Measurement m = two_units();
  const json report =
      json::parse(report_json(m, summarise(m), {.copy_bandwidth = 10, .product_rate = 100}, {{"a", "b"}}));
  EXPECT_EQ(report.at("conditions").at("a"), "b");
  EXPECT_EQ(report.at("units"), 2);
  EXPECT_EQ(report.at("latency_seconds").at("p50"), 2);
  EXPECT_EQ(report.at("latency_seconds").at("all").size(), 3u);
  for (const char* const table : {"stages", "ops"})
    for (const json& row : report.at(table))
      for (const char* const column : {"stage", "calls", "seconds", "host_seconds", "bytes", "flops",
                                       "bytes_per_second", "of_copy", "flops_per_second", "of_product", "peak_bytes"})
        EXPECT_TRUE(row.contains(column)) << table << " " << column;
  const json& linear = report.at("ops").at(0);
  EXPECT_EQ(linear.at("op"), "linear");
  EXPECT_EQ(linear.at("of_copy"), 1);
  EXPECT_EQ(linear.at("of_product"), 0.2);
  EXPECT_TRUE(report.at("ops").at(1).at("bytes").is_null()) << "not said is not 0";
  const json timeline = json::parse("[[0.0,100],[9.0,300],[10.0,100],[29.0,300],[30.0,100]]");
  EXPECT_EQ(report.at("memory").at("timeline"), timeline);
}

// The Trace Event Format: complete slices with all their fields, those of a thread nested, and counters.
void check_trace(const json& trace) {
  std::vector<std::pair<double, double>> open;  // begin and end, of the slices around the next one
  std::size_t counters = 0;
  for (const json& event : trace.at("traceEvents")) {
    ASSERT_TRUE(event.contains("ph") && event.contains("name") && event.contains("pid")) << event;
    const std::string phase = event.at("ph");
    if (phase == "C") ++counters;
    if (phase != "X") continue;
    for (const char* const field : {"ts", "dur", "tid", "cat"}) ASSERT_TRUE(event.contains(field)) << event;
    constexpr double kRounding = 1e-3;  // microseconds
    const double begin = event.at("ts"), end = begin + event.at("dur").get<double>();
    EXPECT_GE(event.at("dur"), 0);
    while (!open.empty() && open.back().second <= begin + kRounding) open.pop_back();
    if (!open.empty()) {
      EXPECT_GE(begin, open.back().first - kRounding) << event;
      EXPECT_LE(end, open.back().second + kRounding) << event;
    }
    open.emplace_back(begin, end);
  }
  EXPECT_GT(counters, 0u);
}

TEST(Profile, TraceIsNested) {
  check_trace(json::parse(trace_json(two_units())));
  const Measurement m = relu_and_softmax();
  const json trace = json::parse(trace_json(m));
  check_trace(trace);
  std::size_t slices = 0;
  for (const json& event : trace.at("traceEvents")) slices += event.at("ph") == "X";
  EXPECT_EQ(slices, m.spans.size());
}

TEST(Profile, TraceOfAGpuShowsBothClocks) {
  Measurement m = two_units();
  m.device = {DeviceType::cuda, 0};
  const json trace = json::parse(trace_json(m));
  std::map<int, int> slices;
  for (const json& event : trace.at("traceEvents"))
    if (event.at("ph") == "X") ++slices[event.at("tid")];
  EXPECT_EQ(slices.size(), 2u);
  for (const auto& [thread, count] : slices) EXPECT_EQ(count, 10) << thread;
}

}  // namespace
}  // namespace visage::profile
