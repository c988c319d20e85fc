#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/file_bytes.h"
#include "nn/checkpoint/pickle.h"
#include "nn/checkpoint/zip.h"
#include "tests/nn/checkpoint/checkpoint_test_support.h"

#include <gmock/gmock.h>

namespace visage::nn {
namespace {

std::vector<NamedTensor> sample() {
  const float values[6] = {1.f, -2.f, 3.5f, 4.f, 5.f, -0.f};
  const Tensor matrix = Tensor::from({2, 3}, values);
  std::vector<NamedTensor> tensors = {{"matrix", matrix},
                                      {"transposed", Tensor::alias(matrix, {3, 2}, {1, 3})},
                                      {"expanded", Tensor::alias(matrix, {4, 3}, {0, 1}, 3)},
                                      {"scalar", Tensor::from({}, values + 2)},
                                      {"empty", Tensor::zeros({0, 3})}};
  for (const DType dtype : {DType::f64, DType::f16, DType::bf16, DType::i64, DType::i32, DType::u8, DType::boolean})
    tensors.push_back({name_of(dtype), Tensor::zeros({3}, dtype)});
  return tensors;
}

TEST(WritePth, RoundTripKeepsBits) {
  const test::TemporaryFolder folder;
  const auto written = sample();
  write_pth(folder / "x.pth", written);
  const Checkpoint read = read_checkpoint(folder / "x.pth");
  EXPECT_EQ(read.format, "torch zip");
  ASSERT_EQ(read.tensors.size(), written.size());
  for (std::size_t i = 0; i < written.size(); ++i) {
    const Tensor &got = read.tensors[i].value, &want = written[i].value;
    EXPECT_EQ(read.tensors[i].name, written[i].name);
    EXPECT_EQ(got.size(), want.size()) << written[i].name;
    EXPECT_EQ(got.dtype(), want.dtype()) << written[i].name;
    EXPECT_EQ(test::contiguous_bytes(got), test::contiguous_bytes(want)) << written[i].name;
  }
}

TEST(WritePth, RecordsAreAlignedNamedAsTorchDoesAndChecked) {
  const test::TemporaryFolder folder;
  write_pth(folder / "x.pth", sample());
  const FileBytes file = map_file(folder / "x.pth");
  const ZipArchive archive(file);
  for (const ZipRecord& record : archive.records()) {
    EXPECT_EQ(record.begin % 64, 0u) << record.name;
    EXPECT_NO_THROW(archive.check_crc(record)) << record.name;
  }
  ASSERT_TRUE(archive.find("archive/data/11") && archive.find("archive/version"));
  EXPECT_EQ(archive.find("archive/data/0")->size, 24u);
}

TEST(WritePth, CarriesTheModuleVersionsThatStopRenames) {
  const test::TemporaryFolder folder;
  write_pth(folder / "x.pth", sample());
  const std::string bytes = test::read_bytes(folder / "x.pth");
  EXPECT_NE(bytes.find("_metadata"), std::string::npos);
  EXPECT_NE(bytes.find("sem_seg_head.predictor"), std::string::npos);
}

TEST(WritePth, FailedWriteLeavesNothingBehind) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(write_pth(folder / "none/x.pth", sample()), InputError);
  const std::vector<NamedTensor> twice = {{"t", Tensor::zeros({1})}, {"t", Tensor::zeros({1})}};
  EXPECT_THROW(write_pth(folder / "x.pth", twice), InputError);
  const Tensor one = Tensor::zeros({1});
  const std::vector<NamedTensor> huge = {{"t", Tensor::alias(one, {1 << 30, 2}, {0, 0})}};
  EXPECT_THAT(test::message_of<InputError>([&] { write_pth(folder / "x.pth", huge); }),
              testing::HasSubstr(".safetensors instead"));
  EXPECT_TRUE(test::files_in(folder.path()).empty());
}

}  // namespace
}  // namespace visage::nn
