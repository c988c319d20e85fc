#include "nn/checkpoint/safetensors.h"

#include "nn/checkpoint/parse.h"
#include "tests/nn/checkpoint/checkpoint_test_support.h"

#include <gmock/gmock.h>

#include <csignal>
#include <sys/resource.h>

namespace visage::nn {
namespace {

using test::contiguous_bytes;
using test::message_of;
using testing::HasSubstr;

/// A safetensors file with this header and `data_bytes` zero bytes.
std::string file_with(const std::string& header, std::size_t data_bytes) {
  std::string result(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) result[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
  return result + header + std::string(data_bytes, '\0');
}

Checkpoint parse(const std::string& content) { return parse_checkpoint(file_bytes("some.safetensors", content)); }

TEST(Safetensors, RoundTripKeepsBitsNamesAndMetadata) {
  const test::TemporaryFolder folder;
  const float values[6] = {1.f, -2.f, 3.5f, 4.f, 5.f, -0.f};
  const Tensor matrix = Tensor::from({2, 3}, values);
  const Tensor transposed = Tensor::alias(matrix, {3, 2}, {1, 3});
  const Tensor expanded = Tensor::alias(matrix, {4, 3}, {0, 1}, 3);
  const Tensor flags = Tensor::zeros({3}, DType::boolean);
  const Tensor scalar = Tensor::zeros({}, DType::i64);
  const std::vector<NamedTensor> written = {{"flags", flags},
                                            {"matrix", matrix},
                                            {"transposed", transposed},
                                            {"expanded", expanded},
                                            {"scalar/0", scalar},
                                            {"empty", Tensor::zeros({0, 3})},
                                            {"half", Tensor::zeros({5}, DType::f16)}};
  write_safetensors(folder / "a.safetensors", written, {{"note", "line\n\"quoted\""}});

  const Checkpoint read = read_checkpoint(folder / "a.safetensors");
  EXPECT_EQ(read.format, "safetensors");
  EXPECT_EQ(read.metadata.at("note"), "line\n\"quoted\"");
  ASSERT_EQ(read.tensors.size(), written.size());
  for (const NamedTensor& one : written) {
    const Tensor* found = read.find(one.name);
    ASSERT_TRUE(found) << one.name;
    EXPECT_EQ(found->size(), one.value.size()) << one.name;
    EXPECT_EQ(found->dtype(), one.value.dtype()) << one.name;
    EXPECT_EQ(contiguous_bytes(*found), contiguous_bytes(one.value)) << one.name;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(found->view().data) % size_of(found->dtype()), 0u) << one.name;
  }
  const float expected[6] = {1.f, 4.f, -2.f, 5.f, 3.5f, -0.f};
  EXPECT_EQ(std::memcmp(read.find("transposed")->data<float>(), expected, sizeof expected), 0);
  EXPECT_EQ(test::files_in(folder.path()), std::vector<std::string>{"a.safetensors"});
}

TEST(Safetensors, HeaderIsPaddedToEight) {
  const test::TemporaryFolder folder;
  for (const char* name : {"a", "ab", "abc", "abcdefgh"}) {
    const std::vector<NamedTensor> one = {{name, Tensor::zeros({1})}};
    write_safetensors(folder / "x", one);
    const std::string bytes = test::read_bytes(folder / "x");
    EXPECT_EQ(static_cast<unsigned char>(bytes[0]) % 8, 0) << name;
  }
}

TEST(Safetensors, LargeStridedTensorStreamsInPieces) {
  const test::TemporaryFolder folder;
  const Tensor base = Tensor::empty({300, 701}, DType::f32);
  for (std::int64_t i = 0; i < base.numel(); ++i) base.data<float>()[i] = static_cast<float>(i);
  const std::vector<NamedTensor> one = {{"t", Tensor::alias(base, {701, 300}, {1, 701})}};
  write_safetensors(folder / "x", one);
  const Checkpoint read = read_checkpoint(folder / "x");
  const auto* data = read.find("t")->data<float>();
  for (std::int64_t c = 0; c < 701; ++c)
    for (std::int64_t r = 0; r < 300; ++r) ASSERT_EQ(data[c * 300 + r], static_cast<float>(r * 701 + c));
}

TEST(Safetensors, RefusesWhatDoesNotFit) {
  struct Case {
    const char* header;
    std::size_t bytes;
    const char* message;
  };
  const Case cases[] = {
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7, "truncated"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9, "belong to none"},
      {R"({"t":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "do not fit its 8 bytes"},
      {R"({"t":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "whole number"},
      {R"({"t":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8, "whole number"},
      {R"({"t":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})", 8, "'F8_E4M3' is not supported"},
      {R"({"t":{"shape":[8],"data_offsets":[0,8]}})", 8, "no dtype"},
      {R"({"t":{"dtype":"F32","shape":[1,1,1,1,1,1,2],"data_offsets":[0,8]}})", 8, "more than 6 axes"},
      {R"({"t":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8, "do not fit"},
      {R"({"t":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0, "do not fit"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "reversed"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "data_offsets"},
      {R"({"t":7})", 0, "not an object"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
       12, "'b': overlaps"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})",
       16, "'b': follows a gap"},
      {R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
       1, "'t' is listed twice"},
      {R"({"__metadata__":{"a":1}})", 0, "'a' is not a string"},
      {R"({"__metadata__":[[[[[[]]]]]]})", 0, "nested too deeply"},
      {R"({"t":)", 0, "not valid JSON"},
  };
  for (const Case& one : cases) {
    const std::string message = message_of<CheckpointError>([&] { parse(file_with(one.header, one.bytes)); });
    EXPECT_THAT(message, HasSubstr("some.safetensors: ")) << one.header;
    EXPECT_THAT(message, HasSubstr(one.message)) << one.header;
  }
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const test::TemporaryFolder folder;
  const std::vector<NamedTensor> tensors = {{"a", Tensor::zeros({2, 3})}, {"b", Tensor::zeros({5}, DType::u8)}};
  write_safetensors(folder / "x", tensors);
  const std::string whole = test::read_bytes(folder / "x");
  EXPECT_EQ(parse(whole).tensors.size(), 2u);
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_THROW(parse(whole.substr(0, length)), CheckpointError) << length;
}

TEST(Safetensors, OtherFilesAreNamed) {
  EXPECT_THAT(message_of<CheckpointError>([] { parse("<!DOCTYPE html><html>"); }), HasSubstr("web page"));
  EXPECT_THAT(message_of<CheckpointError>([] { parse("version https://git-lfs.github.com/spec/v1"); }),
              HasSubstr("git lfs pull"));
  EXPECT_THAT(message_of<CheckpointError>([] { parse("0123456789abcdef"); }), HasSubstr("no known format"));
}

TEST(Safetensors, UnreadablePathsAreInputErrors) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(message_of<InputError>([&] { read_checkpoint(folder / "none.pth"); }),
              HasSubstr("none.pth: cannot be opened"));
  EXPECT_THAT(message_of<InputError>([&] { read_checkpoint(folder.path()); }), HasSubstr("not a regular file"));
  test::write_bytes(folder / "empty", "");
  EXPECT_THAT(message_of<CheckpointError>([&] { read_checkpoint(folder / "empty"); }), HasSubstr("is empty"));
}

TEST(Safetensors, FailedWriteLeavesNothingBehind) {
  const test::TemporaryFolder folder;
  const std::vector<NamedTensor> tensors = {{"t", Tensor::zeros({1 << 16})}};
  EXPECT_THROW(write_safetensors(folder / "no/such/folder/x", tensors), InputError);
  EXPECT_THROW(write_safetensors(folder.path(), tensors), InputError);
  EXPECT_THROW(write_safetensors("/dev/null", tensors), InputError);
  write_safetensors(folder / "x", tensors, {{"run", "first"}});

  // A file size limit stands in for a full disk: the write fails half-way.
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit;
  getrlimit(RLIMIT_FSIZE, &old_limit);
  rlimit small = old_limit;
  small.rlim_cur = 4096;
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(write_safetensors(folder / "x", tensors, {{"run", "second"}}), InputError);
  setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);

  EXPECT_EQ(test::files_in(folder.path()), std::vector<std::string>{"x"});
  EXPECT_EQ(read_checkpoint(folder / "x").metadata.at("run"), "first");
}

TEST(Safetensors, NamesThatCannotBeStoredAreRefused) {
  const test::TemporaryFolder folder;
  const std::vector<NamedTensor> twice = {{"t", Tensor::zeros({1})}, {"t", Tensor::zeros({1})}};
  EXPECT_THROW(write_safetensors(folder / "x", twice), InputError);
  const std::vector<NamedTensor> bytes = {{"\xff\xfe", Tensor::zeros({1})}};
  EXPECT_THROW(write_safetensors(folder / "x", bytes), InputError);
  EXPECT_TRUE(test::files_in(folder.path()).empty());
}

TEST(Safetensors, TensorsOutliveTheFile) {
  const test::TemporaryFolder folder;
  const float values[2] = {7.f, 8.f};
  const std::vector<NamedTensor> one = {{"t", Tensor::from({2}, values)}};
  write_safetensors(folder / "x", one);
  const Tensor kept = *read_checkpoint(folder / "x").find("t");
  std::filesystem::remove(folder / "x");
  kept.data<float>()[0] += 1.f;
  EXPECT_EQ(kept.data<float>()[0], 8.f);
  EXPECT_EQ(kept.data<float>()[1], 8.f);
}

}  // namespace
}  // namespace visage::nn
