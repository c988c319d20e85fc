#include "visage/profile/summary.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace visage::profile {
namespace {

constexpr const char* kOther = "other";

// Rows in the order in which they are first asked for.
class Rows {
 public:
  Row& row(const std::string& stage, const std::string& op) {
    const auto [at, fresh] = index_.try_emplace({stage, op}, rows_.size());
    if (fresh) rows_.push_back({.stage = stage, .op = op});
    return rows_[at->second];
  }
  std::vector<Row> take() { return std::move(rows_); }

 private:
  std::map<std::pair<std::string, std::string>, std::size_t> index_;
  std::vector<Row> rows_;
};

void add_work(std::optional<Work>& sum, const Work& work) {
  if (!sum) sum.emplace();
  sum->bytes += work.bytes;
  sum->flops += work.flops;
}

class Summariser {
 public:
  explicit Summariser(const Measurement& measurement) : spans_(measurement.spans), own_(spans_) {
    for (const Span& span : spans_)
      if (span.parent >= 0 && spans_[span.parent].kind == span.kind) {
        own_[span.parent].seconds -= span.seconds;
        own_[span.parent].host_seconds -= span.host_seconds;
      }
  }

  Summary summarise() {
    Summary summary;
    std::vector<double> units;
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      const Span& span = spans_[i];
      summary.peak_memory = std::max({summary.peak_memory, span.memory_before, span.memory_after});
      if (span.parent < 0) {
        ++summary.units;
        summary.seconds += span.seconds;
        units.push_back(span.host_seconds);
        other_.calls += 1;
        other_.seconds += own_[i].seconds;
        other_.host_seconds += own_[i].host_seconds;
        see_memory(other_, span);
      } else if (span.kind == Span::Kind::stage) {
        add_stage(span);
      } else {
        add_op(i);
      }
    }
    summary.stages = stages_.take();
    summary.stages.push_back(other_);
    summary.ops = ops_.take();
    for (Row& op : summary.ops)
      if (silent_.count({op.stage, op.op})) op.work.reset();
    std::stable_sort(summary.ops.begin(), summary.ops.end(),
                     [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
    summary.recording_cost = percentile(std::move(units), 0.5);
    return summary;
  }

 private:
  // Of a stage, "outer > inner" below the unit.
  std::string path(int index) const {
    if (index < 0 || spans_[index].parent < 0) return kOther;
    if (spans_[index].kind == Span::Kind::op) return path(spans_[index].parent);
    const std::string above = path(spans_[index].parent);
    return above == kOther ? spans_[index].name : above + " > " + spans_[index].name;
  }

  void add_stage(const Span& span) {
    const std::string name = path(static_cast<int>(&span - spans_.data()));
    Row& row = stages_.row(name, "");
    for (std::size_t at = 0; (at = name.find(" > ", at)) != std::string::npos; ++at) row.depth += row.calls == 0;
    ++row.calls;
    row.seconds += span.seconds;
    row.host_seconds += span.host_seconds;
    see_memory(row, span);
  }

  void add_op(std::size_t index) {
    const Span& span = spans_[index];
    const std::string stage = path(span.parent);
    Row& row = ops_.row(stage, span.name);
    ++row.calls;
    row.seconds += own_[index].seconds;
    row.host_seconds += own_[index].host_seconds;
    see_memory(row, span);
    if (span.work)
      add_work(row.work, *span.work);
    else
      silent_.insert({stage, span.name});
    for (int at = span.parent; at >= 0; at = spans_[at].parent) {
      if (spans_[at].kind == Span::Kind::op) continue;
      Row& around = spans_[at].parent < 0 ? other_ : stages_.row(path(at), "");
      if (&around == &other_ && stage != kOther) continue;
      if (span.work) add_work(around.work, *span.work);
      see_memory(around, span);
    }
  }

  static void see_memory(Row& row, const Span& span) {
    row.peak_memory = std::max({row.peak_memory, span.memory_before, span.memory_after});
  }

  const std::vector<Span>& spans_;
  std::vector<Span> own_;  // times without those of the spans of their kind inside
  Rows stages_, ops_;
  Row other_{.stage = kOther};
  std::set<std::pair<std::string, std::string>> silent_;  // ops with a call that did not say its work
};

}  // namespace

double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5)];
}

Summary summarise(const Measurement& measurement) {
  Summary summary = Summariser(measurement).summarise();
  summary.p50 = percentile(measurement.latencies, 0.5);
  summary.p95 = percentile(measurement.latencies, 0.95);
  summary.p99 = percentile(measurement.latencies, 0.99);
  summary.most = percentile(measurement.latencies, 1);
  summary.recording_cost = summary.p50 > 0 ? summary.recording_cost / summary.p50 - 1 : 0;
  return summary;
}

}  // namespace visage::profile
