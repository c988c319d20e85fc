#pragma once
#include "train/data/batch.h"
#include "train/data/clip_sampler.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace visage::train {

/// One data set of a mix.
struct Source {
  std::shared_ptr<const Dataset> dataset;
  ClipOptions clips;
  double ratio = 1;  // how often it is drawn, relative to the other sources
};

struct BatchOptions {
  int64_t clips = 16;  // a batch
  uint64_t seed = 1;
  Mixing mixing = Mixing::homogeneous;
  int64_t shard = 0, shards = 1;  // of every batch only this part of its clips is made, one of equal ones
};

/// Batches as a function of the step: make(k) depends on the sources, the options and k alone.
class BatchMaker {
 public:
  /// Throws UsageError for impossible options.
  BatchMaker(std::vector<Source> sources, BatchOptions options);
  [[nodiscard]] Batch make(int64_t step) const;
  /// Source of clip `clip` of batch `step`.
  [[nodiscard]] size_t source_of(int64_t step, int64_t clip) const;

 private:
  BatchOptions options_;
  std::vector<ClipSampler> samplers_;
  std::vector<double> cumulative_;  // ratios, summed up
};

struct LoaderOptions {
  BatchOptions batch;
  int64_t first_step = 0;  // the whole state of the loader: training resumes by giving the step it stopped at
  int64_t workers = 2;     // threads, at least 1
  int64_t prefetch = 4;    // batches made ahead, at least 1
};

struct LoaderStatistics {
  int64_t batches = 0;
  double waited_seconds = 0;  // the caller spent in next() for batches that were not ready
  double worked_seconds = 0;  // of all workers together
};

/// Makes batches ahead in worker threads and hands them out in order: batch k is the same for any number of workers.
class Loader {
 public:
  Loader(std::vector<Source> sources, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch. An exception of the worker that made it is thrown here; the call after that gives the batch after.
  [[nodiscard]] Batch next();
  /// Step of the batch that next() gives.
  [[nodiscard]] int64_t step() const;
  [[nodiscard]] LoaderStatistics statistics() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace visage::train
