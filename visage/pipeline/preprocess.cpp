#include "visage/pipeline/preprocess.h"

#include "tensor/transfer.h"
#include "visage/media/resize.h"

namespace visage::pipeline {
namespace {

constexpr std::int64_t kMultiple = 32;  // the stride of res5

/// A window on the pixels of an image, for as long as that lives.
Tensor pixels_of(const media::Image& image) {
  const Dims size{image.height, image.width, 3};
  auto storage = std::make_shared<Storage>(const_cast<std::uint8_t*>(image.rgb.data()), image.rgb.size(), Device{},
                                           std::shared_ptr<void>());
  return Tensor::from_storage(std::move(storage), 0, size, contiguous_strides(size), DType::u8);
}

}  // namespace

std::int64_t padded_side(std::int64_t pixels) { return (pixels + kMultiple - 1) / kMultiple * kMultiple; }

ops::MaskSizes mask_sizes(media::Size frame, int shortest_edge, int longest_edge) {
  const media::Size resized = media::resized_size(frame, shortest_edge, longest_edge);
  return {.padded = {padded_side(resized.height), padded_side(resized.width)},
          .image = {resized.height, resized.width},
          .output = {frame.height, frame.width}};
}

void check_edges(int shortest_edge, int longest_edge) {
  check<UsageError>(shortest_edge >= 1 && longest_edge >= shortest_edge,
                    "the shortest edge must be at least 1 and at most the longest; got ", shortest_edge, " and ",
                    longest_edge);
}

void check_same_size(const media::Frame& frame, media::Size before) {
  const media::Size size = frame.image.size();
  check<InputError>(size == before, "frame ", frame.name, " is ", size.width, "x", size.height,
                    ", the frames before are ", before.width, "x", before.height,
                    "; all frames of a video must have one size");
}

void write_network_input(const media::Image& frame, const ops::InputPlan& plan, const Tensor& batch,
                         std::int64_t index) {
  const Dims size{batch.size(1), batch.size(2), batch.size(3)};
  const Tensor out = Tensor::alias(batch, size, contiguous_strides(size), index * batch.stride()[0]);
  ops::network_input(to_device(pixels_of(frame), batch.device()), plan, out);
}

Tensor network_input(std::span<const media::Image> frames) {
  check<InputError>(!frames.empty(), "network_input: no frames");
  const std::int64_t height = frames[0].height, width = frames[0].width;
  check<InputError>(height > 0 && width > 0, "network_input: a frame is empty");
  for (const media::Image& frame : frames)
    check<InputError>(frame.height == height && frame.width == width,
                      "network_input: frames differ in size: ", frame.width, "x", frame.height, " after ", width, "x",
                      height);
  const auto plan = ops::plan_input({height, width}, {height, width}, {padded_side(height), padded_side(width)});
  Tensor input = Tensor::empty({static_cast<std::int64_t>(frames.size()), plan.padded.height, plan.padded.width, 3});
  for (std::size_t n = 0; n < frames.size(); ++n)
    write_network_input(frames[n], plan, input, static_cast<std::int64_t>(n));
  return input;
}

}  // namespace visage::pipeline
