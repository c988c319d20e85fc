#include "visage/tracking/memory_bank.h"

#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage::tracking {
namespace {

using test::tensor_of;
using test::values_of;

constexpr int kIdentity[] = {0, 1};

/// One channel, two queries; the embedding of frame t is 10^t and 2 10^t, so that a read-out shows its weights.
void insert(MemoryBank& bank, double embedding, double score, std::span<const int> order = kIdentity) {
  bank.insert(tensor_of({2, 1}, std::vector{embedding, 2 * embedding}), tensor_of({2}, std::vector{score, score / 2}),
              order);
}

TEST(MemoryBank, PaperWeighsTheNewestMost) {
  MemoryBank bank(4, MemoryWeighting::paper);
  insert(bank, 1, 0.5);
  EXPECT_EQ(values_of(bank.read())[0], 0.5 * 4);
  insert(bank, 10, 0.25);
  // Newest first: s W / w with the constant W = 4.
  EXPECT_EQ(values_of(bank.read())[0], 10 * 0.25 * 4 / 1 + 1 * 0.5 * 4 / 2);
  EXPECT_EQ(values_of(bank.read())[1], 20 * 0.125 * 4 / 1 + 2 * 0.25 * 4 / 2);
}

TEST(MemoryBank, ReleaseWeighsTheNewestLeastAndNormalises) {
  MemoryBank bank(4, MemoryWeighting::release);
  insert(bank, 1, 0.5);
  EXPECT_FLOAT_EQ(static_cast<float>(values_of(bank.read())[0]), 1.f);
  insert(bank, 10, 0.25);
  // w/n + s with n = 2 stored frames, over their sum.
  const double newest = 1.0 / 2 + 0.25, oldest = 2.0 / 2 + 0.5;
  EXPECT_NEAR(values_of(bank.read())[0], (10 * newest + oldest) / (newest + oldest), 1e-6);
}

TEST(MemoryBank, ForgetsWhatLeavesTheWindow) {
  MemoryBank bank(2, MemoryWeighting::paper);
  for (const double embedding : {1000.0, 100.0, 1.0, 10.0, 4.0}) insert(bank, embedding, 1);
  EXPECT_EQ(bank.size(), 2);
  EXPECT_EQ(values_of(bank.read())[0], 4 * 2 + 10 * 1);
  MemoryBank one(1, MemoryWeighting::release);
  for (const double embedding : {1000.0, 3.0}) insert(one, embedding, 0.5);
  EXPECT_EQ(values_of(one.read())[0], 3);
}

TEST(MemoryBank, StoresInSlotOrder) {
  MemoryBank bank(3, MemoryWeighting::paper);
  const int swapped[] = {1, 0};
  insert(bank, 1, 1, swapped);
  EXPECT_EQ(values_of(bank.read()), (std::vector<double>{2 * 0.5 * 3, 1 * 1 * 3}));
}

TEST(MemoryBank, ResetForgetsEverything) {
  MemoryBank bank(3, MemoryWeighting::paper);
  EXPECT_THROW((void)bank.read(), Error);
  insert(bank, 1, 1);
  insert(bank, 2, 1);
  bank.reset();
  EXPECT_EQ(bank.size(), 0);
  EXPECT_THROW((void)bank.read(), Error);
  insert(bank, 7, 1);
  EXPECT_EQ(values_of(bank.read())[0], 21);
}

TEST(MemoryBank, RefusesWhatDoesNotFit) {
  EXPECT_THROW(MemoryBank(0, MemoryWeighting::paper), UsageError);
  MemoryBank bank(3, MemoryWeighting::paper);
  const int missing[] = {0, 2}, three[] = {0, 1, 0};
  EXPECT_THROW(insert(bank, 1, 1, missing), ShapeError);
  EXPECT_THROW(bank.insert(Tensor::zeros({2, 1}), Tensor::zeros({3}), kIdentity), ShapeError);
  insert(bank, 1, 1);
  EXPECT_THROW(insert(bank, 1, 1, three), ShapeError);
  EXPECT_THROW(bank.insert(Tensor::zeros({2, 4}), Tensor::zeros({2}), kIdentity), ShapeError);
}

}  // namespace
}  // namespace visage::tracking
