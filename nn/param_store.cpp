#include "nn/param_store.h"

namespace visage::nn {

Dims Entry::file_size() const {
  const Dims& s = value.size();
  return layout == FileLayout::oihw ? Dims{s[0], s[3], s[1], s[2]} : s;
}

Tensor ParamStore::add(std::string name, const Dims& size, Kind kind, Role role, FileLayout layout, Device device) {
  check(!index_.contains(name), "ParamStore: two tensors are named ", name);
  Tensor value = Tensor::empty(size, DType::f32, device);
  if (kind == Kind::parameter) autograd::set_requires_grad(value);
  index_.emplace(name, entries_.size());
  entries_.push_back({std::move(name), value, kind, role, layout});
  return value;
}

const Entry* ParamStore::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &entries_[found->second];
}

}  // namespace visage::nn
