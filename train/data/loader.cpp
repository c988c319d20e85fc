#include "train/data/loader.h"

#include "tensor/cpu/parallel.h"
#include "tensor/error.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>

namespace visage::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

BatchMaker::BatchMaker(std::vector<Source> sources, BatchOptions options) : options_(options) {
  check<UsageError>(!sources.empty(), "loader: no data set");
  check<UsageError>(options_.clips >= 1, "loader: a batch needs at least 1 clip; got ", options_.clips);
  check<UsageError>(options_.shards >= 1 && options_.shard >= 0 && options_.shard < options_.shards &&
                        options_.clips % options_.shards == 0,
                    "loader: ", options_.clips, " clips a batch cannot be shared equally by ", options_.shards,
                    " processes; set train.clips to a multiple of their number");
  double sum = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    Source& source = sources[i];
    check<UsageError>(source.ratio > 0 && source.ratio < 1e9, "loader: ratio of data set ", i,
                      " must be positive; got ", source.ratio);
    check<UsageError>(source.clips.frames == sources[0].clips.frames,
                      "loader: all data sets must give clips of one length; got ", sources[0].clips.frames, " and ",
                      source.clips.frames);
    cumulative_.push_back(sum += source.ratio);
    samplers_.emplace_back(std::move(source.dataset), std::move(source.clips),
                           CounterRandom({options_.seed, i}).bits());
  }
}

size_t BatchMaker::source_of(int64_t step, int64_t clip) const {
  const bool by_batch = options_.mixing == Mixing::homogeneous;
  CounterRandom random({options_.seed, static_cast<uint64_t>(step), by_batch ? 0 : 1 + static_cast<uint64_t>(clip)});
  const double point = random.uniform(0, cumulative_.back());
  const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, point);
  return found - cumulative_.begin();
}

Batch BatchMaker::make(int64_t step) const {
  std::vector<ClipSample> clips;
  const int64_t count = options_.clips / options_.shards, first = options_.shard * count;
  for (int64_t i = first; i < first + count; ++i)
    clips.push_back(samplers_[source_of(step, i)].sample(step * options_.clips + i));
  return collate(clips, step);
}

struct Loader::State {
  State(std::vector<Source> sources, const LoaderOptions& options)
      : maker(std::move(sources), options.batch),
        prefetch(options.prefetch),
        claimed(options.first_step),
        wanted(options.first_step) {}

  using Result = std::variant<Batch, std::exception_ptr>;

  Result make(int64_t step) const {
    try {
      return maker.make(step);
    } catch (...) {
      return std::current_exception();
    }
  }

  void work(const std::stop_token& stop) {
    cpu::set_num_threads(1);  // of this thread's loops: the other cores are the trainer's
    std::unique_lock lock(mutex);
    while (room.wait(lock, stop, [&] { return claimed < wanted + prefetch; })) {
      const int64_t step = claimed++;
      lock.unlock();
      const Clock::time_point start = Clock::now();
      Result result = make(step);
      const double seconds = seconds_since(start);
      lock.lock();
      statistics.worked_seconds += seconds;
      ready.emplace(step, std::move(result));
      arrived.notify_one();
      if (stop.stop_requested()) return;
    }
  }

  const BatchMaker maker;
  const int64_t prefetch;
  mutable std::mutex mutex;
  std::condition_variable_any room;
  std::condition_variable arrived;
  std::map<int64_t, Result> ready;
  int64_t claimed, wanted;  // next step for a worker, next step for the caller
  LoaderStatistics statistics;
  std::vector<std::jthread> workers;  // last: they end before what they use
};

Loader::Loader(std::vector<Source> sources, LoaderOptions options) {
  check<UsageError>(options.workers >= 1 && options.workers <= 1024, "loader: workers must be from 1 to 1024; got ",
                    options.workers);
  check<UsageError>(options.prefetch >= 1, "loader: prefetch must be at least 1; got ", options.prefetch);
  check<UsageError>(options.first_step >= 0, "loader: the first step must not be negative; got ", options.first_step);
  state_ = std::make_unique<State>(std::move(sources), options);
  for (int64_t i = 0; i < options.workers; ++i)
    state_->workers.emplace_back([state = state_.get()](const std::stop_token& stop) { state->work(stop); });
}

Loader::~Loader() = default;

Batch Loader::next() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  const Clock::time_point start = Clock::now();
  state.arrived.wait(lock, [&] { return state.ready.contains(state.wanted); });
  state.statistics.waited_seconds += seconds_since(start);
  State::Result result = std::move(state.ready.extract(state.wanted).mapped());
  ++state.wanted;
  ++state.statistics.batches;
  lock.unlock();
  state.room.notify_all();
  if (auto* error = std::get_if<std::exception_ptr>(&result)) std::rethrow_exception(*error);
  return std::get<Batch>(std::move(result));
}

int64_t Loader::step() const {
  const std::lock_guard lock(state_->mutex);
  return state_->wanted;
}

LoaderStatistics Loader::statistics() const {
  const std::lock_guard lock(state_->mutex);
  return state_->statistics;
}

}  // namespace visage::train
