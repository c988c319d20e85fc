#include "visage/profile/report.h"

#include <nlohmann/json.hpp>

#include <cmath>

namespace visage::profile {
namespace {

using Json = nlohmann::ordered_json;

Json row_json(const Row& row, const Ceilings& ceilings) {
  Json json = {{"stage", row.stage}};
  if (row.op.empty())
    json["depth"] = row.depth;
  else
    json["op"] = row.op;
  json["calls"] = row.calls;
  json["seconds"] = row.seconds;
  json["host_seconds"] = row.host_seconds;
  const auto set = [&](const char* key, double value) { json[key] = row.work ? Json(value) : Json(); };
  set("bytes", row.work ? row.work->bytes : 0);
  set("flops", row.work ? row.work->flops : 0);
  set("bytes_per_second", row.bytes_per_second());
  set("of_copy", row.bytes_per_second() / ceilings.copy_bandwidth);
  set("flops_per_second", row.flops_per_second());
  set("of_product", row.flops_per_second() / ceilings.product_rate);
  json["peak_bytes"] = row.peak_memory;
  return json;
}

Json rows_json(const std::vector<Row>& rows, const Ceilings& ceilings) {
  Json list = Json::array();
  for (const Row& row : rows) list.push_back(row_json(row, ceilings));
  return list;
}

// Seconds and bytes, where the bytes change.
Json timeline(const std::vector<Span>& spans) {
  std::map<double, std::size_t> bytes;
  for (const Span& span : spans) {
    bytes[span.host_start] = span.memory_before;
    bytes[span.host_start + span.host_seconds] = span.memory_after;
  }
  Json list = Json::array();
  for (const auto& [seconds, amount] : bytes)
    if (list.empty() || list.back()[1] != amount) list.push_back({seconds, amount});
  return list;
}

constexpr int kProcess = 1, kHostThread = 1, kDeviceThread = 2;

// Both ends of a slice are rounded alike, so that what is nested or one after the other stays so.
double microseconds(double seconds) { return std::round(1e9 * seconds) / 1e3; }

Json slice(const Span& span, int thread, double start, double seconds) {
  const double begin = microseconds(start), end = microseconds(start + seconds);
  Json json = {{"ph", "X"},    {"name", span.name},  {"cat", span.kind == Span::Kind::op ? "op" : "stage"},
               {"ts", begin},  {"dur", end - begin}, {"pid", kProcess},
               {"tid", thread}};
  if (span.work) json["args"] = {{"bytes", span.work->bytes}, {"flops", span.work->flops}};
  return json;
}

Json thread_name(int thread, const std::string& name) {
  return {{"ph", "M"}, {"name", "thread_name"}, {"pid", kProcess}, {"tid", thread}, {"args", {{"name", name}}}};
}

}  // namespace

std::string report_json(const Measurement& measurement, const Summary& summary, const Ceilings& ceilings,
                        const Conditions& conditions) {
  const Json json = {{"conditions", conditions},
                     {"unit", measurement.unit},
                     {"units", summary.units},
                     {"seconds", summary.seconds},
                     {"recording_cost", summary.recording_cost},
                     {"latency_seconds",
                      {{"p50", summary.p50},
                       {"p95", summary.p95},
                       {"p99", summary.p99},
                       {"max", summary.most},
                       {"all", measurement.latencies}}},
                     {"ceilings",
                      {{"copy_bytes_per_second", ceilings.copy_bandwidth},
                       {"product_flops_per_second", ceilings.product_rate},
                       {"product_dtype", name_of(ceilings.products)}}},
                     {"stages", rows_json(summary.stages, ceilings)},
                     {"ops", rows_json(summary.ops, ceilings)},
                     {"memory", {{"peak_bytes", summary.peak_memory}, {"timeline", timeline(measurement.spans)}}}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string trace_json(const Measurement& measurement) {
  const bool on_gpu = measurement.device.type == DeviceType::cuda;
  Json events = Json::array();
  events.push_back(thread_name(kHostThread, on_gpu ? "CPU: submits" : "CPU"));
  if (on_gpu) events.push_back(thread_name(kDeviceThread, "GPU"));
  for (const Span& span : measurement.spans) {
    events.push_back(slice(span, kHostThread, span.host_start, span.host_seconds));
    if (on_gpu) events.push_back(slice(span, kDeviceThread, span.start, span.seconds));
  }
  for (const Json& point : timeline(measurement.spans))
    events.push_back({{"ph", "C"},
                      {"name", "memory in use"},
                      {"ts", microseconds(point[0].get<double>())},
                      {"pid", kProcess},
                      {"args", {{"bytes", point[1]}}}});
  const Json trace = {{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}};
  return trace.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace visage::profile
