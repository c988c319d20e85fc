#include "ops/assign/matched_rows.h"

#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace visage::ops {
namespace {

constexpr std::int64_t kNoObject = 99;

/// A batch of frames with `counts` instances; instance i has label 10 + i.
struct Frames {
  std::vector<std::int64_t> counts;
  std::int64_t queries;
  RowRanges instances;
  AssignmentBatch pairs;
  MatchedRows rows;

  Frames(std::vector<std::int64_t> frame_counts, std::int64_t frame_queries, Device device, std::int64_t broken = -1)
      : counts(std::move(frame_counts)), queries(frame_queries), instances(counts, device) {
    std::mt19937 random(static_cast<unsigned>(queries));
    Tensor cost = Tensor::empty({instances.items(), queries, instances.most()});
    for (std::int64_t i = 0; i < cost.numel(); ++i) cost.data<float>()[i] = static_cast<float>(random() % 1000);
    if (broken >= 0) cost.data<float>()[broken * queries * instances.most()] = NAN;
    std::vector<double> labels(instances.rows());
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = 10 + static_cast<double>(i);
    pairs = assign_batch(test::on(cost, device), instances.counts());
    rows = matched_rows(pairs, instances, test::on(test::tensor_of({instances.rows()}, labels, DType::i64), device),
                        kNoObject);
  }
};

/// From the definition, query by query.
void expect_lists(const Frames& frames) {
  const auto column_of_row = test::values_of(frames.pairs.column_of_row);
  std::vector<double> queries, instances, found(frames.instances.rows(), -1.), classes;
  for (std::size_t row = 0; row < column_of_row.size(); ++row) {
    const auto frame = static_cast<std::int64_t>(row) / frames.queries;
    const double instance =
        column_of_row[row] < 0 ? -1. : column_of_row[row] + static_cast<double>(frames.instances.first(frame));
    classes.push_back(instance < 0 ? kNoObject : 10 + instance);
    if (instance < 0) continue;
    queries.push_back(static_cast<double>(row));
    instances.push_back(instance);
    found[static_cast<std::size_t>(instance)] = static_cast<double>(row);
  }
  EXPECT_EQ(test::values_of(frames.rows.queries), queries);
  EXPECT_EQ(test::values_of(frames.rows.instances), instances);
  EXPECT_EQ(test::values_of(frames.rows.query_of_instance), found);
  EXPECT_EQ(test::values_of(frames.rows.classes), classes);
}

TEST(MatchedRows, ListThePairsOfTheFrames) {
  test::for_each_device([](Device device) {
    expect_lists(Frames({3, 0, 5, 1}, 7, device));
    expect_lists(Frames({2, 9, 40}, 100, device));  // several turns of a warp
    expect_lists(Frames({6, 2, 8}, 4, device));     // instances without a query
    expect_lists(Frames({0, 0}, 3, device));
    expect_lists(Frames({}, 3, device));
  });
}

TEST(MatchedRows, AFrameThatCannotBeAssignedIsSeen) {
  test::for_each_device([](Device device) {
    if (device.type == DeviceType::cpu) {
      EXPECT_THROW(Frames({2, 2, 1}, 3, device, 1), NonFiniteError);
      return;
    }
    const Frames frames({2, 2, 1}, 3, device, 1);
    const auto check = [](const Tensor& list, std::size_t first, std::size_t last) {
      const auto values = test::values_of(list);
      for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i] < 0, i >= first && i < last) << i;
    };
    check(frames.rows.queries, 2, 4);
    check(frames.rows.instances, 2, 4);
    check(frames.rows.query_of_instance, 2, 4);
    check(frames.rows.classes, 3, 6);
  });
}

TEST(MatchedRows, RefusesPartsThatDoNotFit) {
  const std::vector<std::int64_t> counts{2, 1}, others{1, 1, 1};
  const RowRanges instances(counts, {}), other(others, {});
  const AssignmentBatch pairs = assign_batch(Tensor::zeros({2, 3, 2}), instances.counts());
  EXPECT_THROW((void)matched_rows(pairs, other, Tensor::zeros({3}, DType::i64), 0), ShapeError);
  EXPECT_THROW((void)matched_rows(pairs, instances, Tensor::zeros({2}, DType::i64), 0), ShapeError);
  EXPECT_THROW((void)matched_rows(pairs, instances, Tensor::zeros({3}), 0), DTypeError);
}

TEST(RowRanges, KnowsWhereItemsStart) {
  const std::vector<std::int64_t> counts{2, 0, 3}, negative{1, -1};
  test::for_each_device([&](Device device) {
    const RowRanges ranges(counts, device);
    EXPECT_EQ(ranges.items(), 3);
    EXPECT_EQ(ranges.rows(), 5);
    EXPECT_EQ(ranges.most(), 3);
    EXPECT_EQ(ranges.first(2), 2);
    EXPECT_EQ(ranges.count(2), 3);
    EXPECT_EQ(test::values_of(ranges.starts()), (std::vector<double>{0, 2, 2, 5}));
    EXPECT_EQ(test::values_of(ranges.counts()), (std::vector<double>{2, 0, 3}));
    EXPECT_EQ(test::values_of(ranges.item_of_row()), (std::vector<double>{0, 0, 2, 2, 2}));
  });
  EXPECT_THROW(RowRanges(negative, {}), ShapeError);
}

}  // namespace
}  // namespace visage::ops
