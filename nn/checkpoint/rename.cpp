#include "nn/checkpoint/rename.h"

namespace visage::nn {
namespace {

constexpr std::string_view kHead = "sem_seg_head.";

/// Each rule returns the new name, or the old one when it does not apply.
using Rule = std::string (*)(std::string_view);

// DistributedDataParallel wraps the model in a module of this name.
std::string strip_module(std::string_view name) {
  constexpr std::string_view kWrapper = "module.";
  return std::string(name.starts_with(kWrapper) ? name.substr(kWrapper.size()) : name);
}

// Version 1 of the mask head held the pixel decoder's modules itself.
std::string insert_pixel_decoder(std::string_view name) {
  constexpr std::string_view kPredictor = "sem_seg_head.predictor", kPixelDecoder = "sem_seg_head.pixel_decoder.";
  if (!name.starts_with(kHead) || name.starts_with(kPredictor) || name.starts_with(kPixelDecoder))
    return std::string(name);
  return std::string(kPixelDecoder) + std::string(name.substr(kHead.size()));
}

// Version 1 of the predictor called the learned query features static queries.
std::string rename_queries(std::string_view name) {
  constexpr std::string_view kOld = "static_query", kNew = "query_feat";
  std::string result(name);
  if (const auto at = result.find(kOld); at != std::string::npos) result.replace(at, kOld.size(), kNew);
  return result;
}

// ImageNet weights of detectron2 hold the backbone alone.
std::string add_backbone(std::string_view name) {
  const bool bare = name.starts_with("stem.") || name.starts_with("res");
  return (bare ? "backbone." : "") + std::string(name);
}

constexpr Rule kRules[] = {strip_module, insert_pixel_decoder, rename_queries, add_backbone};

}  // namespace

std::string model_name(const ParamStore& store, std::string_view file_name) {
  std::string name(file_name);
  for (const Rule rule : kRules) {
    if (store.find(name)) return name;
    name = rule(name);
  }
  return store.find(name) ? name : std::string();
}

bool is_ignored(std::string_view file_name) {
  const std::string name = strip_module(file_name);
  return name == "pixel_mean" || name == "pixel_std" || name.ends_with(".num_batches_tracked");
}

}  // namespace visage::nn
