// Uploads and downloads beside the work, with streams that do nothing until something waits for them: a copy in the
// wrong order shows.
#include "tensor/staging.h"

#include "simt/control.h"
#include "tensor/cuda/stall.h"
#include "tensor/transfer.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace visage {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

class Staging : public ::testing::TestWithParam<simt::Streams> {
 protected:
  Staging() : previous_(simt::set_streams(GetParam())) {}
  ~Staging() override { simt::set_streams(previous_); }

 private:
  simt::Streams previous_;
};
INSTANTIATE_TEST_SUITE_P(Streams, Staging, ::testing::Values(simt::Streams::eager, simt::Streams::lazy));

TEST_P(Staging, EveryResultIsThatOfItsInput) {
  const Dims size{5, 3};
  Upload uploads[2]{{size, DType::f32, kCuda}, {size, DType::f32, kCuda}};
  Download downloads[2]{Download(kCuda), Download(kCuda)};
  const Tensor place = Tensor::zeros(size, DType::f32, kCuda), count = Tensor::zeros({2}, DType::f32, kCuda);
  const auto submit = [&](int frame) {
    Upload& upload = uploads[frame % 2];
    std::fill_n(upload.host().data<float>(), size.numel(), static_cast<float>(frame));
    upload.send();
    upload.deliver(place);
    downloads[frame % 2].start({place, count});
  };
  const auto expect = [&](int frame) {
    const std::vector<Tensor>& results = downloads[frame % 2].wait();
    ASSERT_EQ(results.size(), 2u);
    EXPECT_EQ(test::values_of(results[0]), std::vector<double>(15, frame));
    EXPECT_EQ(test::values_of(results[1]), std::vector<double>(2, 0));
  };
  submit(0);
  submit(1);  // takes memory, which waits
  const cuda::NoStallScope steady("frames");
  for (int frame = 2; frame < 8; ++frame) {
    expect(frame - 2);
    submit(frame);
  }
  expect(6);
  expect(7);
}

TEST_P(Staging, ResultsMayChangeTheirSize) {
  Download download(kCuda);
  for (const std::int64_t size : {3, 1, 7}) {
    const std::vector<float> values(static_cast<std::size_t>(size), static_cast<float>(size));
    download.start({to_device(Tensor::from({size}, values.data()), kCuda)});
    EXPECT_EQ(test::values_of(download.wait()[0]), std::vector<double>(size, static_cast<double>(size)));
  }
}

}  // namespace
}  // namespace visage
