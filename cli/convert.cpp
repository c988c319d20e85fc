#include "cli/convert.h"

#include <ostream>

namespace visage::cli {
namespace {

constexpr const char* kSafetensors = ".safetensors";
constexpr const char* kPth = ".pth";

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
  const nn::Checkpoint checkpoint = nn::read_checkpoint(options.input);
  save_weights(options.output, checkpoint.tensors, checkpoint.metadata);
  out << options.output << ": " << checkpoint.tensors.size() << " tensors from " << checkpoint.format << "\n";
}

}  // namespace visage::cli
