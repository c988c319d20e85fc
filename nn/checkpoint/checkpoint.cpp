#include "nn/checkpoint/checkpoint.h"

#include "nn/checkpoint/parse.h"
#include "nn/checkpoint/pickle_files.h"
#include "nn/checkpoint/safetensors.h"

namespace visage::nn {
namespace {

/// What people download by accident, told from its first bytes.
const char* describe_other(std::string_view text) {
  if (text.starts_with("version https://git-lfs")) return "a Git LFS pointer, not the weights; run `git lfs pull`";
  if (text.starts_with("<")) return "a web page, not weights; download the file itself";
  if (text.starts_with("\x1f\x8b")) return "gzip-compressed; unpack it first";
  if (text.substr(0, 512).find("ustar") != std::string_view::npos)
    return "a tar archive; unpack it, or save the weights with a newer PyTorch";
  return "of no known format; give safetensors, a PyTorch .pth or a detectron2 .pkl (or the file is damaged)";
}

}  // namespace

const Tensor* Checkpoint::find(std::string_view name) const {
  for (const NamedTensor& one : tensors)
    if (one.name == name) return &one.value;
  return nullptr;
}

Checkpoint parse_checkpoint(const FileBytes& file) {
  if (looks_like_zip(file)) return parse_torch_zip(file);
  if (looks_like_pickle(file) && !looks_like_safetensors(file)) return parse_pickle_file(file);
  if (looks_like_safetensors(file)) return parse_safetensors(file);
  fail<CheckpointError>("", file.path, ": is ", describe_other(file.text()));
}

Checkpoint read_checkpoint(const std::string& path) { return parse_checkpoint(map_file(path)); }

}  // namespace visage::nn
