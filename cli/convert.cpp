#include "cli/convert.h"

#include "cli/commands.h"
#include "cli/options.h"
#include "nn/checkpoint/strided.h"
#include "tensor/float16.h"

#include <cmath>
#include <iostream>
#include <memory>
#include <ostream>

namespace visage::cli {
namespace {

constexpr const char* kSafetensors = ".safetensors";
constexpr const char* kPth = ".pth";

template <class T>
Tensor rounded(const Tensor& values, DType dtype, const std::string& name) {
  const Tensor out = Tensor::empty(values.size(), dtype);
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const float value = values.data<float>()[i];
    T& to = out.data<T>()[i];
    store(to, value);
    check<CheckpointError>(std::isfinite(static_cast<float>(to)) || !std::isfinite(value), "", name, " holds ", value,
                           ", which is more than the dtype can hold; use bf16 or f32");
  }
  return out;
}

bool is_real(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::f16 || dtype == DType::bf16;
}

Tensor in_f32(const Tensor& tensor) {
  const Tensor values = Tensor::empty(tensor.size());
  nn::copy_to_f32(tensor.view(), values.data<float>());
  return values;
}

void blend(const ConvertOptions& options, nn::Checkpoint& checkpoint) {
  check<UsageError>(options.share >= 0 && options.share <= 1, "--share must be from 0 to 1; got ", options.share);
  const nn::Checkpoint other = nn::read_checkpoint(options.blend);
  check<CheckpointError>(other.tensors.size() == checkpoint.tensors.size(), "", options.blend, " holds ",
                         other.tensors.size(), " tensors, ", options.input, " ", checkpoint.tensors.size(),
                         "; only weights of one model can be blended");
  for (nn::NamedTensor& tensor : checkpoint.tensors) {
    const Tensor* second = other.find(tensor.name);
    check<CheckpointError>(second && second->size() == tensor.value.size(), "", options.blend, ": ", tensor.name,
                           " is missing or of another size; only weights of one model can be blended");
    if (!is_real(tensor.value.dtype())) continue;
    const Tensor mean = in_f32(tensor.value), from = in_f32(*second);
    const auto share = static_cast<float>(options.share);
    for (std::int64_t i = 0; i < mean.numel(); ++i)
      mean.data<float>()[i] = (1 - share) * mean.data<float>()[i] + share * from.data<float>()[i];
    tensor.value = mean;
  }
}

Tensor as_dtype(const nn::NamedTensor& tensor, DType dtype) {
  const Tensor values = in_f32(tensor.value);
  switch (dtype) {
    case DType::f16: return rounded<Half>(values, dtype, tensor.name);
    case DType::bf16: return rounded<BFloat16>(values, dtype, tensor.name);
    default: return values;
  }
}

}  // namespace

void check_weight_name(const std::string& file) {
  check<UsageError>(file.ends_with(kSafetensors) || file.ends_with(kPth), "", file,
                    ": weights are written as .safetensors or .pth; let the name end in one of them");
}

void save_weights(const std::string& file, std::span<const nn::NamedTensor> tensors,
                  const std::map<std::string, std::string>& metadata) {
  check_weight_name(file);
  if (file.ends_with(kPth)) return nn::write_pth(file, tensors);
  nn::write_safetensors(file, tensors, metadata);
}

void convert(const ConvertOptions& options, std::ostream& out) {
  check_weight_name(options.output);
  nn::Checkpoint checkpoint = nn::read_checkpoint(options.input);
  if (!options.blend.empty()) blend(options, checkpoint);
  if (options.dtype)
    for (nn::NamedTensor& tensor : checkpoint.tensors)
      if (is_real(tensor.value.dtype())) tensor.value = as_dtype(tensor, *options.dtype);
  save_weights(options.output, checkpoint.tensors, checkpoint.metadata);
  out << options.output << ": " << checkpoint.tensors.size() << " tensors from " << checkpoint.format << "\n";
}

void define_convert(CLI::App& program) {
  const auto command = std::make_shared<ConvertOptions>();
  ConvertOptions& c = *command;
  CLI::App& app = add_command(program, "convert", "Rewrite a weight file as .safetensors or .pth",
                              "Names stay as they are, and values too unless --dtype rounds them.");
  app.add_option("IN", c.input, "Weight file: safetensors, PyTorch .pth, detectron2 .pkl")->required();
  app.add_option("OUT", c.output, "Name of the new file; its ending says the format")->required();
  app.add_option("--blend", c.blend, "Mean with another file of the same model")->type_name("FILE");
  app.add_option("--share", c.share, "Share of that file in the mean")->capture_default_str();
  add_choice(app, "--dtype", c.dtype, {{"f32", DType::f32}, {"f16", DType::f16}, {"bf16", DType::bf16}},
             "Store real numbers in this type; f16 and bf16 halve the file, and loading converts back");
  app.final_callback([command] { convert(*command, std::cout); });
}

}  // namespace visage::cli
