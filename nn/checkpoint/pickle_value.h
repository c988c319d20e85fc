#pragma once
#include "tensor/tensor.h"

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace visage::nn::pickle {

struct Tuple;
struct List;
struct Dict;
struct Set;
struct StorageRef;
struct TensorRef;
struct NumpyDType;
struct Array;
struct Constructor;

struct None {};
struct Text {
  std::string_view value;  // UTF-8
  bool python2 = false;    // written by Python 2, where it may as well be data
};
struct Bytes {
  std::string_view value;
};
/// More than 64 bits, little-endian two's complement.
struct BigInteger {
  std::string_view value;
};

/// What a pickle can hold. Pointers are owned by the Arena, so shared and cyclic values cost nothing to drop.
using Value = std::variant<std::monostate, None, bool, std::int64_t, double, Text, Bytes, BigInteger, Tuple*, List*,
                           Dict*, Set*, StorageRef*, TensorRef*, NumpyDType*, Array*, const Constructor*>;

struct Tuple {
  std::vector<Value> items;
};
struct List {
  std::vector<Value> items;
};
struct Set {
  std::vector<Value> items;
};
/// In order of insertion; also stands for OrderedDict and Counter.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  const Value* find(std::string_view key) const;
};

/// torch storage, by the key it has in the file.
struct StorageRef {
  DType dtype = DType::f32;
  std::string_view key;
  std::int64_t numel = 0;       // of the whole storage
  std::int64_t view_begin = 0;  // the part this reference means (legacy files), in elements
  std::int64_t view_numel = 0;
};

/// torch tensor as the file describes it, not yet checked against its storage.
struct TensorRef {
  const StorageRef* storage = nullptr;
  std::int64_t offset = 0;
  const Tuple* size = nullptr;
  const Tuple* stride = nullptr;
};

struct NumpyDType {
  DType dtype = DType::f32;
  bool big_endian = false;
};

/// numpy array (or scalar) as the file describes it; without `dtype` until its state was set.
struct Array {
  const NumpyDType* dtype = nullptr;
  const Tuple* size = nullptr;
  bool fortran = false;
  std::string_view bytes;
};

enum class Call : std::uint8_t {
  ordered_dict,
  counter,
  rebuild_tensor,
  rebuild_tensor_v2,
  rebuild_parameter,
  torch_size,
  numpy_reconstruct,
  numpy_scalar,
  numpy_dtype,
  encode,
  bytes,
  name_only,  // an argument of another constructor; never called
};

/// A row of the fixed list of what a pickle may name.
struct Constructor {
  std::string_view module, name;
  Call call;
  const DType* storage_dtype = nullptr;  // of torch.*Storage
};

/// Null when the name is not on the list.
const Constructor* find_constructor(std::string_view module, std::string_view name);

/// Owner of every value of a pickle.
struct Arena {
  std::deque<Tuple> tuples;
  std::deque<List> lists;
  std::deque<Dict> dicts;
  std::deque<Set> sets;
  std::deque<StorageRef> storages;
  std::deque<TensorRef> tensors;
  std::deque<NumpyDType> dtypes;
  std::deque<Array> arrays;
  std::deque<std::string> strings;
};

}  // namespace visage::nn::pickle
