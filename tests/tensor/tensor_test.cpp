#include "tensor/tensor.h"

#include "tests/support/files.h"
#include "tests/support/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace visage {
namespace {

TEST(Dims, IndexesFromBothEndsAndCompares) {
  const Dims dims{2, 3, 5};
  EXPECT_EQ(dims.rank, 3);
  EXPECT_EQ(dims[0], 2);
  EXPECT_EQ(dims[-1], 5);
  EXPECT_EQ(dims[-3], 2);
  EXPECT_EQ(dims.numel(), 30);
  EXPECT_EQ(Dims{}.numel(), 1);
  EXPECT_EQ((Dims{4, 0, 2}).numel(), 0);
  EXPECT_TRUE(dims == (Dims{2, 3, 5}));
  EXPECT_FALSE(dims == (Dims{2, 3}));
  EXPECT_FALSE(dims == (Dims{2, 3, 4}));
}

TEST(Dims, ContiguousStridesAreRowMajor) {
  EXPECT_TRUE(contiguous_strides({2, 3, 5}) == (Dims{15, 5, 1}));
  EXPECT_TRUE(contiguous_strides({7}) == Dims{1});
  EXPECT_TRUE(contiguous_strides({}) == Dims{});
}

TEST(Tensor, EmptyHandleIsFalse) {
  EXPECT_FALSE(Tensor{});
  EXPECT_TRUE(static_cast<bool>(Tensor::empty({1})));
}

TEST(Tensor, KnowsItsSizeTypeAndDevice) {
  for (const DType dtype :
       {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i32, DType::i64, DType::u8, DType::boolean}) {
    const Tensor tensor = Tensor::zeros({3, 4}, dtype);
    EXPECT_EQ(tensor.dtype(), dtype);
    EXPECT_EQ(tensor.numel(), 12);
    EXPECT_EQ(tensor.nbytes(), 12 * size_of(dtype));
    EXPECT_EQ(tensor.size(-1), 4);
    EXPECT_TRUE(tensor.device() == Device{});
    EXPECT_TRUE(tensor.is_contiguous());
    EXPECT_EQ(test::values_of(tensor), std::vector<double>(12, 0.)) << name_of(dtype);
  }
}

TEST(Tensor, MemoryIsAligned) {
  for (const std::int64_t size : {1, 3, 17, 1000}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(Tensor::empty({size}, DType::u8).data<std::uint8_t>()) % 64, 0u);
  }
  EXPECT_NE(Tensor::empty({0}).data<float>(), nullptr);
}

TEST(Tensor, ACopyIsTheSameElements) {
  const float values[] = {1, 2, 3, 4, 5, 6};
  const Tensor a = Tensor::from({2, 3}, values);
  const Tensor b = a;
  b.data<float>()[4] = 50;
  EXPECT_EQ(test::values_of(a), (std::vector<double>{1, 2, 3, 4, 50, 6}));
  EXPECT_EQ(values[4], 5.f);
}

TEST(Tensor, AliasIsAWindowThatKeepsTheStorage) {
  const float values[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  Tensor window;
  {
    const Tensor base = Tensor::from({3, 4}, values);
    window = Tensor::alias(base, {2, 3}, {1, 4}, 1);  // columns 1 and 2, transposed
  }
  EXPECT_EQ(test::values_of(window), (std::vector<double>{1, 5, 9, 2, 6, 10}));
  EXPECT_FALSE(window.is_contiguous());
  const Tensor inner = Tensor::alias(window, {2}, {4}, 4);
  EXPECT_EQ(test::values_of(inner), (std::vector<double>{5, 9}));
}

TEST(Tensor, AliasMustStayInsideTheStorage) {
  const Tensor base = Tensor::zeros({3, 4});
  EXPECT_NO_THROW(Tensor::alias(base, {12}, {1}));
  EXPECT_THROW(Tensor::alias(base, {13}, {1}), ShapeError);
  EXPECT_THROW(Tensor::alias(base, {3, 4}, {5, 1}), ShapeError);
  EXPECT_THROW(Tensor::alias(base, {12}, {1}, 1), ShapeError);
  EXPECT_NO_THROW(Tensor::alias(base, {0}, {1}, 12));
  EXPECT_NO_THROW(Tensor::alias(Tensor::empty({0, 4}), {0, 2}, {4, 1}, 2));
  EXPECT_THROW(Tensor::alias(Tensor::empty({0, 4}), {1, 2}, {4, 1}, 2), ShapeError);
}

TEST(Tensor, ForeignMemoryIsKeptAlive) {
  bool released = false;
  {
    const auto owner = std::shared_ptr<void>(new float[4]{1, 2, 3, 4}, [&](void* data) {
      delete[] static_cast<float*>(data);
      released = true;
    });
    const auto storage = std::make_shared<Storage>(owner.get(), 16, Device{}, owner);
    const Tensor tensor = Tensor::from_storage(storage, 4, {3}, {1}, DType::f32);
    EXPECT_EQ(test::values_of(tensor), (std::vector<double>{2, 3, 4}));
  }
  EXPECT_TRUE(released);
}

TEST(Storage, VersionCountsWrites) {
  const Tensor tensor = Tensor::zeros({1});
  const auto before = tensor.storage()->version();
  tensor.storage()->bump_version();
  EXPECT_EQ(tensor.storage()->version(), before + 1);
}

TEST(Error, SaysWhatAndKeepsWhere) {
  try {
    check<ShapeError>(false, "op: wrong size; got ", Dims{2, 3}, " of ", DType::bf16);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "op: wrong size; got [2, 3] of bf16");
    EXPECT_NE(std::string(error.thrown_at().file_name()).find("tensor_test.cpp"), std::string::npos);
  }
  EXPECT_NO_THROW(check(true, "never"));
}

TEST(Error, SaysHowMuchMemoryIsMissing) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the address sanitizer ends the process";
#endif
  const std::string bytes = std::to_string(std::int64_t{1} << 60);
  EXPECT_THAT(test::message_of<MemoryError>([] { (void)Tensor::empty({std::int64_t{1} << 58}); }),
              testing::HasSubstr("cannot allocate " + bytes + " bytes on the CPU; use"));
}

TEST(Device, NamesAreParsed) {
  EXPECT_TRUE(parse_device("cpu") == Device{});
  const Device automatic = parse_device("auto");
  EXPECT_EQ(automatic.type, cuda_device_count() > 0 ? DeviceType::cuda : DeviceType::cpu);
  for (const char* name : {"", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999999999999999999"}) {
    EXPECT_THROW(parse_device(name), UsageError) << name;
  }
  EXPECT_THROW(parse_device("cuda:1000"), UsageError);
}

TEST(Device, CudaWithoutAGpuSaysWhyAndWhatToDo) {
  if (cuda_device_count() > 0) GTEST_SKIP() << "there is a GPU";
  try {
    parse_device("cuda");
    FAIL();
  } catch (const UsageError& error) {
    const std::string message = error.what();
    EXPECT_TRUE(message.find("no CUDA backend") != std::string::npos ||
                message.find("no usable GPU (cuda") != std::string::npos)
        << message;
    EXPECT_NE(message.find("use device cpu"), std::string::npos) << message;
  }
  EXPECT_THROW(Tensor::empty({1}, DType::f32, {DeviceType::cuda, 0}), DeviceError);
}

}  // namespace
}  // namespace visage
