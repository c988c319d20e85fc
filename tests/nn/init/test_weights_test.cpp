#include "nn/init/test_weights.h"

#include "nn/checkpoint/load.h"
#include "nn/checkpoint/strided.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <bit>
#include <fstream>
#include <sstream>

namespace visage::nn {
namespace {

struct Row {
  std::string name;
  Dims size;  // as in the file
  std::uint32_t crc = 0, first = 0, last = 0;
};

Dims parse_size(const std::string& text) {
  Dims size;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, 'x');) size.append(std::stoll(part));
  return size;
}

std::vector<Row> read_rows() {
  std::ifstream file(test::golden_dir() + "/params_check.tsv");
  std::vector<Row> rows;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string size;
    Row row;
    fields >> row.name >> size >> std::hex >> row.crc >> row.first >> row.last;
    row.size = parse_size(size);
    rows.push_back(row);
  }
  return rows;
}

void add(ParamStore& store, const Row& row) {
  const Scope root(store);
  const Dims& s = row.size;
  if (s.rank == 4) {
    root.conv_weight(row.name, {s[0], s[2], s[3], s[1]});
  } else {
    root.param(row.name, s, Role::weight);
  }
}

/// First line of the golden README that names the seed: "Seed of this set: `public`."
std::string golden_seed() {
  std::ifstream file(test::golden_dir() + "/README.md");
  for (std::string line; std::getline(file, line);) {
    const auto at = line.find("Seed of this set: `");
    if (at == std::string::npos) continue;
    const auto begin = at + std::string_view("Seed of this set: `").size();
    return line.substr(begin, line.find('`', begin) - begin);
  }
  return "public";
}

TEST(TestWeightsGolden, EveryTensorHasTheRecordedBits) {
  const std::vector<Row> rows = read_rows();
  ASSERT_FALSE(rows.empty());
  ParamStore store;
  for (const Row& row : rows) add(store, row);
  fill_test_weights(store, golden_seed());
  const std::vector<NamedTensor> tensors = file_tensors(store);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(tensors[i].value.size(), rows[i].size) << rows[i].name;
    uLong crc = crc32(0, nullptr, 0);
    std::string ends;
    stream_contiguous(tensors[i].value.view(), [&](std::string_view bytes) {
      crc = crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
    });
    EXPECT_EQ(crc, rows[i].crc) << rows[i].name;
    const auto* data = tensors[i].value.data<float>();
    EXPECT_EQ(std::bit_cast<std::uint32_t>(data[0]), rows[i].first) << rows[i].name;
    EXPECT_EQ(std::bit_cast<std::uint32_t>(data[tensors[i].value.numel() - 1]), rows[i].last) << rows[i].name;
  }
}

TEST(HashStream, IsUniformAndDependsOnTheName) {
  const HashStream stream("a/b");
  double mean = 0, square = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const float r = stream.symmetric(i);
    ASSERT_GE(r, -1.f);
    ASSERT_LT(r, 1.f);
    mean += r;
    square += r * r;
  }
  EXPECT_NEAR(mean / kCount, 0., 0.01);
  EXPECT_NEAR(square / kCount, 1. / 3., 0.005);
  EXPECT_NE(hash_stream("a/b", 0), hash_stream("a/c", 0));
  EXPECT_EQ(hash_stream("a/b", 5), stream.symmetric(5));
}

}  // namespace
}  // namespace visage::nn
