#include "nn/checkpoint/state_dict.h"

#include <algorithm>
#include <cstring>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

namespace visage::nn {
namespace {

using pickle::Dict;
using pickle::Value;

constexpr int kDeepest = 8;                   // nested dictionaries
constexpr std::size_t kMostVisits = 1 << 20;  // a shared dictionary may be reached along many paths
constexpr std::size_t kLongestName = 512;
// An expanded (stride 0) tensor is larger than its storage; beyond this it is an attack on whoever copies it.
constexpr std::int64_t kLargestExpanded = std::int64_t{1} << 28;
constexpr const char* kRemedy = "; download or save the file again";

/// (sum of (size - 1) * stride) + 1 elements from `offset` fit in `available`, without overflow.
bool window_fits(std::int64_t offset, const Dims& size, const Dims& stride, std::int64_t available) {
  __int128 last = offset;
  for (int i = 0; i < size.rank; ++i) {
    if (stride.d[i] < 0) return false;
    last += static_cast<__int128>(size.d[i] - 1) * stride.d[i];
    if (last >= available) return false;
  }
  return last < available;
}

void swap_bytes(char* data, std::size_t count, std::size_t width) {
  for (std::size_t i = 0; i < count; ++i) std::reverse(data + i * width, data + (i + 1) * width);
}

class Extractor {
 public:
  Extractor(const FileBytes& file, const StorageLoader& load_storage) : file_(file), load_storage_(load_storage) {}

  Checkpoint run(const Value& root) {
    const auto* found = std::get_if<Dict*>(&root);
    check<CheckpointError>(found != nullptr, "", file_.path, ": holds no dictionary of tensors; save a state_dict");
    const Dict* dict = *found;
    for (int depth = 0; depth < kDeepest; ++depth) {
      const Dict* inner = inner_of(*dict);
      if (!inner) break;
      add_metadata(*dict);
      dict = inner;
    }
    result_.path = file_.path;
    add_tensors(*dict, "", 0);
    check<CheckpointError>(!result_.tensors.empty(), "", file_.path,
                           ": holds no tensors under model or state_dict, nor at its top; save a state_dict");
    return std::move(result_);
  }

 private:
  static const Dict* inner_of(const Dict& dict) {
    for (const char* key : {"model", "state_dict"})
      if (const Value* value = dict.find(key))
        if (const auto* inner = std::get_if<Dict*>(value)) return *inner;
    return nullptr;
  }

  void add_metadata(const Dict& dict) {
    for (const auto& [key, value] : dict.items) {
      const auto* name = std::get_if<pickle::Text>(&key);
      if (!name) continue;
      std::ostringstream text;
      if (const auto* integer = std::get_if<std::int64_t>(&value)) text << *integer;
      if (const auto* real = std::get_if<double>(&value)) text << *real;
      if (const auto* boolean = std::get_if<bool>(&value)) text << (*boolean ? "true" : "false");
      if (const auto* string = std::get_if<pickle::Text>(&value)) text << string->value;
      // One long text may be the value of every key; what a real file repeats is short.
      metadata_bytes_ += name->value.size() + text.str().size();
      if (metadata_bytes_ > file_.size) return;
      if (!text.str().empty()) result_.metadata[std::string(name->value)] = text.str();
    }
  }

  void add_tensors(const Dict& dict, const std::string& prefix, int depth) {
    check<CheckpointError>(depth <= kDeepest, "", file_.path, ": the state dict is nested too deeply", kRemedy);
    for (const auto& [key, value] : dict.items) {
      check<CheckpointError>(++visits_ <= kMostVisits, "", file_.path, ": the state dict has too many entries",
                             kRemedy);
      const auto* text = std::get_if<pickle::Text>(&key);
      if (!text) continue;
      const std::string name = prefix + std::string(text->value);
      if (name.size() > kLongestName) refuse(name, "its name is too long");
      if (const auto* inner = std::get_if<Dict*>(&value)) add_tensors(**inner, name + ".", depth + 1);
      if (const auto* tensor = std::get_if<pickle::TensorRef*>(&value)) add(name, tensor_of(name, **tensor));
      if (const auto* array = std::get_if<pickle::Array*>(&value)) add(name, array_of(name, **array));
    }
  }

  void add(const std::string& name, Tensor value) {
    if (!names_.insert(name).second) refuse(name, "is listed twice");
    result_.tensors.push_back({name, std::move(value)});
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& reason) const {
    fail<CheckpointError>("", file_.path, ": tensor ", printable(name), ": ", reason, kRemedy);
  }

  Dims dims_of(const std::string& name, const pickle::Tuple& tuple) const {
    if (tuple.items.size() > kMaxRank) refuse(name, "has more than 6 axes");
    Dims result;
    for (const Value& value : tuple.items) result.append(std::get<std::int64_t>(value));
    return result;
  }

  Tensor tensor_of(const std::string& name, const pickle::TensorRef& ref) {
    const Dims size = dims_of(name, *ref.size), stride = dims_of(name, *ref.stride);
    const DType dtype = ref.storage->dtype;
    const std::int64_t numel = checked_numel(size, size_of(dtype));
    if (numel < 0 || size.rank != stride.rank || ref.offset < 0)
      refuse(name, "has an impossible shape, stride or offset");
    std::shared_ptr<Storage> storage = loaded(name, *ref.storage);
    if (numel == 0) return Tensor::from_storage(std::move(storage), 0, size, contiguous_strides(size), dtype);
    if (!window_fits(ref.offset, size, stride, ref.storage->view_numel))
      refuse(name, "reaches outside its storage of " + std::to_string(ref.storage->view_numel) + " elements");
    if (numel > std::max(ref.storage->numel, kLargestExpanded)) refuse(name, "is expanded to an impossible size");
    const auto begin = static_cast<std::size_t>(ref.storage->view_begin + ref.offset) * size_of(dtype);
    return Tensor::from_storage(std::move(storage), begin, size, stride, dtype);
  }

  std::shared_ptr<Storage> loaded(const std::string& name, const pickle::StorageRef& ref) {
    auto& storage = storages_[ref.key];
    if (!storage) storage = load_storage_(ref);
    const auto available = static_cast<std::uint64_t>(storage->bytes()) / size_of(ref.dtype);
    if (static_cast<std::uint64_t>(ref.numel) > available)
      refuse(name, "its storage has " + std::to_string(storage->bytes()) + " bytes, too few for " +
                       std::to_string(ref.numel) + " elements");
    return storage;
  }

  Tensor array_of(const std::string& name, const pickle::Array& array) {
    if (!array.dtype) refuse(name, "is a numpy array without data");
    const DType dtype = array.dtype->dtype;
    const std::size_t width = size_of(dtype);
    const Dims size = dims_of(name, *array.size);
    const std::int64_t numel = checked_numel(size, width);
    if (numel < 0 || static_cast<std::uint64_t>(numel) * width != array.bytes.size())
      refuse(name, "its shape and dtype do not fit its " + std::to_string(array.bytes.size()) + " bytes");
    auto& storage = arrays_[&array];
    if (!storage) storage = bytes_of(name, array, width);
    return Tensor::from_storage(storage, 0, size,
                                numel && array.fortran ? fortran_strides(size) : contiguous_strides(size), dtype);
  }

  /// A window on the file where it can be one, otherwise a copy in native byte order.
  std::shared_ptr<Storage> bytes_of(const std::string& name, const pickle::Array& array, std::size_t width) {
    // Every array of a real file has its own bytes; a hostile one may give the same bytes to any number of them.
    array_bytes_ += array.bytes.size();
    if (array_bytes_ / 2 > file_.size) refuse(name, "shares its bytes with too many others");
    const auto begin = reinterpret_cast<std::uintptr_t>(array.bytes.data());
    const auto start = reinterpret_cast<std::uintptr_t>(file_.data);
    const bool swap = array.dtype->big_endian && width > 1;
    if (!swap && begin >= start && begin + array.bytes.size() <= start + file_.size)
      return storage_of(file_, begin - start, array.bytes.size(), width);
    auto copy = std::make_shared<Storage>(array.bytes.size(), Device{});
    if (array.bytes.empty()) return copy;
    std::memcpy(copy->data(), array.bytes.data(), array.bytes.size());
    if (swap) swap_bytes(static_cast<char*>(copy->data()), array.bytes.size() / width, width);
    return copy;
  }

  static Dims fortran_strides(const Dims& size) {
    Dims stride = size;
    std::int64_t step = 1;
    for (int i = 0; i < size.rank; ++i) {
      stride.d[i] = step;
      step *= size.d[i];
    }
    return stride;
  }

  const FileBytes& file_;
  const StorageLoader& load_storage_;
  Checkpoint result_;
  std::unordered_set<std::string> names_;
  std::size_t visits_ = 0, metadata_bytes_ = 0, array_bytes_ = 0;
  std::unordered_map<std::string_view, std::shared_ptr<Storage>> storages_;
  std::unordered_map<const pickle::Array*, std::shared_ptr<Storage>> arrays_;
};

}  // namespace

Checkpoint extract_state_dict(const FileBytes& file, const pickle::Value& root, const StorageLoader& load_storage) {
  return Extractor(file, load_storage).run(root);
}

}  // namespace visage::nn
