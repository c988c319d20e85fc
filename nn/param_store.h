#pragma once
#include "autograd/tape.h"
#include "tensor/tensor.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace visage::nn {

enum class Kind : std::uint8_t { parameter, buffer };

/// What the tensor is for; decides weight decay (norms and embeddings have none in the official recipe).
enum class Role : std::uint8_t { weight, bias, norm, embedding, statistic };

/// How a checkpoint file stores the axes. Memory always holds convolution weights as [O, kH, kW, I].
enum class FileLayout : std::uint8_t { same, oihw };

struct Entry {
  std::string name;  // the official checkpoint's name
  Tensor value;
  Kind kind = Kind::parameter;
  Role role = Role::weight;
  FileLayout layout = FileLayout::same;

  /// Size as the checkpoint file has it.
  Dims file_size() const;
};

/// Every tensor of a model by name, in construction order: the state dict.
class ParamStore {
 public:
  /// Adds an uninitialised f32 tensor (parameters require a gradient) and returns a handle on it.
  /// throws Error if the name is taken.
  Tensor add(std::string name, const Dims& size, Kind kind, Role role, FileLayout layout, Device device);

  const std::vector<Entry>& entries() const { return entries_; }
  /// Null when there is no such name.
  const Entry* find(std::string_view name) const;

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
};

/// A path inside a ParamStore: `Scope(store) / "backbone" / "res2" / 0` names what a module adds "backbone.res2.0.*".
class Scope {
 public:
  explicit Scope(ParamStore& store, std::string path = "", Device device = {})
      : store_(&store), path_(std::move(path)), device_(device) {}

  Scope operator/(std::string_view child) const { return Scope(*store_, join(child), device_); }
  Scope operator/(int child) const { return *this / std::to_string(child); }

  Tensor param(std::string_view name, const Dims& size, Role role) const {
    return store_->add(join(name), size, Kind::parameter, role, FileLayout::same, device_);
  }
  /// Convolution weight [O, kH, kW, I], stored in files as [O, I, kH, kW].
  Tensor conv_weight(std::string_view name, const Dims& size) const {
    return store_->add(join(name), size, Kind::parameter, Role::weight, FileLayout::oihw, device_);
  }
  Tensor buffer(std::string_view name, const Dims& size) const {
    return store_->add(join(name), size, Kind::buffer, Role::statistic, FileLayout::same, device_);
  }
  const std::string& path() const { return path_; }

 private:
  std::string join(std::string_view child) const {
    return path_.empty() ? std::string(child) : path_ + "." + std::string(child);
  }
  ParamStore* store_;
  std::string path_;
  Device device_;
};

}  // namespace visage::nn
