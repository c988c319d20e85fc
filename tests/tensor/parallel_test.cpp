#include "tensor/cpu/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace visage::cpu {
namespace {

class Parallel : public testing::Test {
 protected:
  void SetUp() override { previous_ = num_threads(); }
  void TearDown() override { set_num_threads(previous_); }

 private:
  int previous_ = 1;
};

TEST_F(Parallel, CoversEveryIndexOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    for (const std::int64_t count : {0, 1, 2, 7, 100, 1001}) {
      for (const std::int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> visits(count);
        parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) ++visits[i];
        });
        for (const auto& visit : visits) ASSERT_EQ(visit, 1) << count << ' ' << grain << ' ' << threads;
      }
    }
  }
}

TEST_F(Parallel, NumberOfThreadsHasBounds) {
  EXPECT_GE(most_threads(), 64);
  set_num_threads(100000);
  EXPECT_LE(num_threads(), most_threads());
  set_num_threads(-1);
  EXPECT_EQ(num_threads(), 1);
}

TEST_F(Parallel, ChunksDependOnNothingElse) {
  set_num_threads(4);
  const auto chunks = [] {
    std::mutex mutex;
    std::set<std::pair<std::int64_t, std::int64_t>> result;
    parallel_for(103, 10, [&](std::int64_t begin, std::int64_t end) {
      const std::lock_guard lock(mutex);
      result.emplace(begin, end);
    });
    return result;
  };
  EXPECT_EQ(chunks(), chunks());
}

TEST_F(Parallel, SmallWorkStaysOnTheCallingThread) {
  set_num_threads(4);
  const auto self = std::this_thread::get_id();
  int calls = 0;
  parallel_for(100, 100, [&](std::int64_t begin, std::int64_t end) {
    EXPECT_EQ(std::this_thread::get_id(), self);
    EXPECT_EQ(end - begin, 100);
    ++calls;
  });
  EXPECT_EQ(calls, 1);
}

TEST_F(Parallel, NestedLoopsRunInPlace) {
  set_num_threads(4);
  std::atomic<std::int64_t> sum = 0;
  parallel_for(8, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      parallel_for(10, 1, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t k = from; k < to; ++k) sum += k;
      });
    }
  });
  EXPECT_EQ(sum, 8 * 45);
}

TEST_F(Parallel, AnExceptionReachesTheCaller) {
  for (const int threads : {1, 4}) {
    set_num_threads(threads);
    for (int round = 0; round < 20; ++round) {
      try {
        parallel_for(1000, 1, [](std::int64_t begin, std::int64_t end) {
          if (begin <= 500 && 500 < end) throw std::runtime_error("index 500");
        });
        FAIL() << "nothing was thrown";
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "index 500");
      }
    }
    std::atomic<int> visits = 0;  // the team still works afterwards
    parallel_for(100, 1, [&](std::int64_t begin, std::int64_t end) { visits += static_cast<int>(end - begin); });
    EXPECT_EQ(visits, 100);
  }
}

TEST_F(Parallel, AllThreadsMayThrow) {
  set_num_threads(4);
  EXPECT_THROW(parallel_for(1000, 1, [](std::int64_t, std::int64_t) { throw std::logic_error("all"); }),
               std::logic_error);
}

}  // namespace
}  // namespace visage::cpu
