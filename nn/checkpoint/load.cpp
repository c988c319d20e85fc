#include "nn/checkpoint/load.h"

#include "nn/checkpoint/file_bytes.h"
#include "nn/checkpoint/rename.h"
#include "nn/checkpoint/strided.h"
#include "tensor/transfer.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

namespace visage::nn {
namespace {

constexpr std::size_t kShown = 8;  // names listed of each kind of difference

bool allowed(const std::vector<std::string>& prefixes, std::string_view name) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& one) { return name.starts_with(one); });
}

void list(std::ostream& out, const char* title, const std::vector<std::string>& names, std::size_t shown) {
  if (names.empty()) return;
  out << "\n  " << title << " (" << names.size() << "):";
  for (std::size_t i = 0; i < std::min(shown, names.size()); ++i) out << (i ? ", " : " ") << names[i];
  if (names.size() > shown) out << ", ... " << names.size() - shown << " more";
}

template <class... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream text;
  ((text << parts), ...);
  return text.str();
}

struct Plan {
  std::unordered_map<const Entry*, const NamedTensor*> source;
  std::vector<std::string> missing, unexpected, mismatched;
  LoadReport report;
};

void match_names(const ParamStore& store, const Checkpoint& checkpoint, const LoadOptions& options, Plan& plan) {
  for (const NamedTensor& tensor : checkpoint.tensors) {
    const std::string name = model_name(store, tensor.name);
    if (name.empty()) {
      const bool skip = is_ignored(tensor.name) || allowed(options.allow_unexpected, tensor.name);
      (skip ? plan.report.ignored : plan.unexpected).push_back(printable(tensor.name));
      continue;
    }
    const auto [at, fresh] = plan.source.emplace(store.find(name), &tensor);
    check<CheckpointError>(fresh, "", checkpoint.path, ": ", printable(at->second->name), " and ",
                           printable(tensor.name), " both name ", name, "; remove one of them");
    if (name != tensor.name) plan.report.renamed.push_back(tensor.name + " -> " + name);
  }
}

void check_entries(const ParamStore& store, const LoadOptions& options, Plan& plan) {
  for (const Entry& entry : store.entries()) {
    const auto found = plan.source.find(&entry);
    if (found == plan.source.end()) {
      if (allowed(options.allow_missing, entry.name)) {
        plan.report.reinitialised.push_back(entry.name + " (not in the file)");
      } else {
        plan.missing.push_back(entry.name);
      }
      continue;
    }
    const Dims &wanted = entry.file_size(), &given = found->second->value.size();
    if (given == wanted) continue;
    if (allowed(options.allow_mismatch, entry.name)) {
      plan.report.reinitialised.push_back(join(entry.name, " (file ", given, ", model ", wanted, ")"));
    } else {
      plan.mismatched.push_back(join(entry.name, " (file ", given, ", model ", wanted, ")"));
    }
    plan.source.erase(found);
  }
}

void refuse_differences(const Checkpoint& checkpoint, const Plan& plan) {
  if (plan.missing.empty() && plan.unexpected.empty() && plan.mismatched.empty()) return;
  std::ostringstream diff;
  list(diff, "missing in the file", plan.missing, kShown);
  list(diff, "unexpected in the file", plan.unexpected, kShown);
  list(diff, "other shape", plan.mismatched, kShown);
  fail<CheckpointError>("", checkpoint.path,
                        ": does not fit the model; choose the configuration it was trained with, or other weights",
                        diff.str());
}

/// Moves the axes of a convolution weight from the file's order to memory's.
View to_memory_order(View file, FileLayout layout) {
  if (layout != FileLayout::oihw) return file;
  const Dims size = file.size, stride = file.stride;
  file.size = {size[0], size[2], size[3], size[1]};
  file.stride = {stride[0], stride[2], stride[3], stride[1]};
  return file;
}

}  // namespace

LoadOptions image_checkpoint_options() {
  return {.allow_missing = {"appearance_decoder."},
          .allow_mismatch = {"sem_seg_head.predictor.class_embed.", "criterion.empty_weight"},
          .allow_unexpected = {"appearance_decoder."}};
}

std::string LoadReport::summary() const {
  constexpr std::size_t kAll = 64;
  std::ostringstream text;
  text << loaded.size() << " tensors loaded";
  list(text, "renamed", renamed, kShown);
  list(text, "re-initialised", reinitialised, kAll);
  list(text, "ignored", ignored, kShown);
  list(text, "NaN or infinity in", non_finite, kShown);
  return text.str();
}

LoadReport load_into(ParamStore& store, const Checkpoint& checkpoint, const LoadOptions& options) {
  Plan plan;
  match_names(store, checkpoint, options, plan);
  check_entries(store, options, plan);
  refuse_differences(checkpoint, plan);
  for (const Entry& entry : store.entries()) {
    const auto found = plan.source.find(&entry);
    if (found == plan.source.end()) continue;
    plan.report.loaded.push_back(entry.name);
    write_from_host(entry.value, [&](const Tensor& host) {
      auto* target = host.data<float>();
      copy_to_f32(to_memory_order(found->second->value.view(), entry.layout), target);
      if (!std::all_of(target, target + host.numel(), [](float x) { return std::isfinite(x); }))
        plan.report.non_finite.push_back(entry.name);
    });
  }
  return std::move(plan.report);
}

std::vector<NamedTensor> file_tensors(const ParamStore& store) {
  std::vector<NamedTensor> result;
  for (const Entry& entry : store.entries()) {
    const Tensor value = to_device(entry.value, {});
    const Dims& stride = value.stride();
    const Dims file_stride =
        entry.layout == FileLayout::oihw ? Dims{stride[0], stride[3], stride[1], stride[2]} : stride;
    result.push_back({entry.name, Tensor::alias(value, entry.file_size(), file_stride)});
  }
  return result;
}

}  // namespace visage::nn
