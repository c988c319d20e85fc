#include "visage/pipeline/embedding_dump.h"

#include "tensor/files.h"
#include "tensor/float16.h"
#include "tensor/transfer.h"

#include <nlohmann/json.hpp>

#include <cerrno>

namespace visage::pipeline {
namespace {

files::FilePtr open_beside(const std::string& target) {
  files::FilePtr file = files::unnamed_file(files::folder_of(target));
  if (!file) files::cannot_write(target, errno);
  return file;
}

std::string text_of(const ops::ImageSize& size) {
  return std::to_string(size.height) + "x" + std::to_string(size.width);
}

}  // namespace

struct EmbeddingDump::Part {
  const char* name;
  const Tensor& (*tensor)(const QueryFrame& frame);
  DType dtype;
  Dims frame_size;
  files::FilePtr file;
};

EmbeddingDump::EmbeddingDump(std::string path) : path_(std::move(path)) {
  const auto part = [this](const char* name, const Tensor& (*tensor)(const QueryFrame&), DType dtype) {
    parts_.push_back({name, tensor, dtype, {}, open_beside(path_)});
  };
  using Frame = const QueryFrame&;
  part(
      "logits", [](Frame frame) -> const Tensor& { return frame.queries.logits; }, DType::f32);
  part(
      "object", [](Frame frame) -> const Tensor& { return frame.queries.object; }, DType::f32);
  part(
      "appearance", [](Frame frame) -> const Tensor& { return frame.queries.appearance; }, DType::f32);
  part(
      "mask_logits", [](Frame frame) -> const Tensor& { return frame.mask_logits; }, DType::f16);
}

EmbeddingDump::~EmbeddingDump() = default;

void EmbeddingDump::add(const QueryFrame& frame) {
  std::vector<Half> halves;
  for (Part& part : parts_) {
    const Tensor values = to_device(part.tensor(frame), {});
    check<DTypeError>(values.dtype() == DType::f32 && values.is_contiguous(), "EmbeddingDump: ", part.name,
                      " must be contiguous f32");
    if (frames_ == 0) part.frame_size = values.size();
    const auto count = static_cast<std::size_t>(values.numel());
    const float* from = values.data<float>();
    const void* bytes = from;
    if (part.dtype == DType::f16) {
      halves.resize(count);
      for (std::size_t i = 0; i < count; ++i) halves[i] = static_cast<Half>(from[i]);
      bytes = halves.data();
    }
    const bool written = std::fwrite(bytes, size_of(part.dtype), count, part.file.get()) == count;
    if (!written || std::fflush(part.file.get()) != 0) files::cannot_write(path_, errno);
  }
  ++frames_;
}

void EmbeddingDump::close(const std::string& video, const std::vector<std::string>& frame_names,
                          const ops::MaskSizes& sizes) {
  using Json = nlohmann::ordered_json;
  constexpr auto kReplace = Json::error_handler_t::replace;
  Json header;
  header["__metadata__"] = {{"format", "visage embeddings 1"},
                            {"video", video},
                            {"frame_names", Json(frame_names).dump(-1, ' ', false, kReplace)},
                            {"padded_size", text_of(sizes.padded)},
                            {"image_size", text_of(sizes.image)},
                            {"output_size", text_of(sizes.output)}};
  std::int64_t offset = 0;
  for (const Part& part : parts_) {
    Json shape = {frames_};
    std::int64_t bytes = frames_ * static_cast<std::int64_t>(size_of(part.dtype));
    for (int i = 0; i < part.frame_size.rank; ++i) {
      shape.push_back(part.frame_size.d[i]);
      bytes *= part.frame_size.d[i];
    }
    const char* dtype = part.dtype == DType::f16 ? "F16" : "F32";
    header[part.name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump(-1, ' ', false, kReplace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  files::AtomicFile file(path_);
  const auto length = static_cast<std::uint64_t>(text.size());
  file.write({reinterpret_cast<const char*>(&length), sizeof length});
  file.write(text);
  std::vector<char> block(std::size_t{1} << 20);
  for (Part& part : parts_) {
    std::rewind(part.file.get());
    while (const std::size_t got = std::fread(block.data(), 1, block.size(), part.file.get()))
      file.write({block.data(), got});
    if (std::ferror(part.file.get())) files::cannot_write(path_, errno);
  }
  file.commit();
}

}  // namespace visage::pipeline
