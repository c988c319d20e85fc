// Everything a pickle may name, and what each name does here.
#include "nn/checkpoint/pickle.h"

#include <algorithm>

namespace visage::nn::pickle {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::f64, DType::f16, DType::bf16,
                            DType::i64, DType::i32, DType::u8,  DType::boolean};

// clang-format off
constexpr Constructor kConstructors[] = {
    {"collections", "OrderedDict", Call::ordered_dict},
    {"collections", "Counter", Call::counter},
    {"torch._utils", "_rebuild_tensor", Call::rebuild_tensor},
    {"torch._utils", "_rebuild_tensor_v2", Call::rebuild_tensor_v2},
    {"torch._utils", "_rebuild_parameter", Call::rebuild_parameter},
    {"torch", "Size", Call::torch_size},
    {"torch", "FloatStorage", Call::name_only, &kTypes[0]},
    {"torch", "DoubleStorage", Call::name_only, &kTypes[1]},
    {"torch", "HalfStorage", Call::name_only, &kTypes[2]},
    {"torch", "BFloat16Storage", Call::name_only, &kTypes[3]},
    {"torch", "LongStorage", Call::name_only, &kTypes[4]},
    {"torch", "IntStorage", Call::name_only, &kTypes[5]},
    {"torch", "ByteStorage", Call::name_only, &kTypes[6]},
    {"torch", "BoolStorage", Call::name_only, &kTypes[7]},
    {"numpy.core.multiarray", "_reconstruct", Call::numpy_reconstruct},
    {"numpy._core.multiarray", "_reconstruct", Call::numpy_reconstruct},
    {"numpy.core.multiarray", "scalar", Call::numpy_scalar},
    {"numpy._core.multiarray", "scalar", Call::numpy_scalar},
    {"numpy", "dtype", Call::numpy_dtype},
    {"numpy", "ndarray", Call::name_only},
    {"_codecs", "encode", Call::encode},
    {"__builtin__", "bytes", Call::bytes},
    {"builtins", "bytes", Call::bytes},
};
// clang-format on

struct NumpyName {
  std::string_view text;
  DType dtype;
};
constexpr NumpyName kNumpyNames[] = {{"f4", DType::f32}, {"f8", DType::f64}, {"f2", DType::f16},    {"i8", DType::i64},
                                     {"i4", DType::i32}, {"u1", DType::u8},  {"b1", DType::boolean}};

/// The argument if it is there and of this type, else null.
template <class T>
const T* argument(const Tuple& tuple, std::size_t index) {
  return index < tuple.items.size() ? std::get_if<T>(&tuple.items[index]) : nullptr;
}

bool all_integers(const Tuple& tuple) {
  return std::all_of(tuple.items.begin(), tuple.items.end(),
                     [](const Value& value) { return std::holds_alternative<std::int64_t>(value); });
}

std::string full_name(const Constructor& constructor) {
  return std::string(constructor.module) + "." + std::string(constructor.name);
}

}  // namespace

const Constructor* find_constructor(std::string_view module, std::string_view name) {
  for (const Constructor& one : kConstructors)
    if (one.module == module && one.name == name) return &one;
  return nullptr;
}

Value Reader::call(const Constructor& constructor, const Tuple& arguments) {
  switch (constructor.call) {
    case Call::ordered_dict: {
      require(arguments.items.empty(), "OrderedDict with arguments is not supported");
      return make(arena_.dicts);
    }
    case Call::counter: {
      const auto* items = argument<Dict*>(arguments, 0);
      require(arguments.items.empty() || (arguments.items.size() == 1 && items), "Counter needs a dictionary");
      return items ? *items : make(arena_.dicts);
    }
    case Call::encode: return encode_latin1(arguments);
    case Call::bytes:
      // Protocol 2 has no bytes; Python writes b"" as bytes() and the rest through _codecs.encode.
      require(arguments.items.empty(), "bytes with arguments is not supported");
      return Bytes{};
    case Call::rebuild_tensor:
    case Call::rebuild_tensor_v2:
    case Call::rebuild_parameter:
    case Call::torch_size: return call_torch(constructor, arguments);
    case Call::numpy_reconstruct:
    case Call::numpy_scalar:
    case Call::numpy_dtype: return call_numpy(constructor, arguments);
    case Call::name_only: break;
  }
  refuse(full_name(constructor) + " cannot be called");
}

Value Reader::call_torch(const Constructor& constructor, const Tuple& arguments) {
  switch (constructor.call) {
    case Call::rebuild_parameter: {
      const auto* tensor = argument<TensorRef*>(arguments, 0);
      require(tensor != nullptr, "a parameter holds no tensor");
      return *tensor;
    }
    case Call::torch_size: {
      const auto* size = argument<Tuple*>(arguments, 0);
      require(size != nullptr, "torch.Size needs a tuple");
      return *size;
    }
    default: return rebuild_tensor(arguments);
  }
}

Value Reader::call_numpy(const Constructor& constructor, const Tuple& arguments) {
  switch (constructor.call) {
    case Call::numpy_reconstruct: return make(arena_.arrays);
    case Call::numpy_scalar: return make_scalar(arguments);
    default: return make_dtype(arguments);
  }
}

Value Reader::rebuild_tensor(const Tuple& arguments) {
  const auto* storage = argument<StorageRef*>(arguments, 0);
  const auto* offset = argument<std::int64_t>(arguments, 1);
  const auto *size = argument<Tuple*>(arguments, 2), *stride = argument<Tuple*>(arguments, 3);
  require(storage && offset && size && stride && all_integers(**size) && all_integers(**stride),
          "a tensor is not described by storage, offset, size and stride");
  TensorRef* tensor = make(arena_.tensors);
  *tensor = {*storage, *offset, *size, *stride};
  return tensor;
}

/// ("storage", torch.FloatStorage, key, location, element count[, (view key, begin, count)])
Value Reader::load_persistent(const Value& id) {
  const auto* tuple = std::get_if<Tuple*>(&id);
  require(tuple != nullptr, "a persistent id is not a storage");
  const auto* kind = argument<Text>(**tuple, 0);
  const auto* type = argument<const Constructor*>(**tuple, 1);
  const auto* key = argument<Text>(**tuple, 2);
  const auto* numel = argument<std::int64_t>(**tuple, 4);
  require(kind && kind->value == "storage" && type && (*type)->storage_dtype && key && numel && *numel >= 0,
          "a persistent id is not a storage");
  StorageRef storage{*(*type)->storage_dtype, key->value, *numel, 0, *numel};
  if (const auto* view = argument<Tuple*>(**tuple, 5)) {
    const auto *begin = argument<std::int64_t>(**view, 1), *count = argument<std::int64_t>(**view, 2);
    require(begin && count && *begin >= 0 && *count >= 0 && *begin <= *numel && *count <= *numel - *begin,
            "a view of a storage leaves it");
    storage.view_begin = *begin;
    storage.view_numel = *count;
  }
  StorageRef* result = make(arena_.storages);
  *result = storage;
  return result;
}

Value Reader::make_dtype(const Tuple& arguments) {
  const auto* name = argument<Text>(arguments, 0);
  require(name != nullptr, "a numpy dtype has no name");
  for (const NumpyName& known : kNumpyNames) {
    if (name->value != known.text) continue;
    NumpyDType* dtype = make(arena_.dtypes);
    dtype->dtype = known.dtype;
    return dtype;
  }
  refuse("numpy dtype " + printable(name->value) + " is not supported; save it as f4, f8, f2, i8, i4, u1 or b1");
}

Value Reader::make_scalar(const Tuple& arguments) {
  const auto* dtype = argument<NumpyDType*>(arguments, 0);
  const auto* bytes = argument<Bytes>(arguments, 1);
  require(dtype && bytes && bytes->value.size() == size_of((*dtype)->dtype), "a numpy scalar does not fit its dtype");
  Array* array = make(arena_.arrays);
  *array = {*dtype, make(arena_.tuples), false, bytes->value};
  return array;
}

Value Reader::encode_latin1(const Tuple& arguments) {
  const auto *source = argument<Text>(arguments, 0), *encoding = argument<Text>(arguments, 1);
  require(source && encoding && encoding->value == "latin1", "encodes something else than latin1 text");
  // Each text is encoded once in a real file; without this bound a small file could ask for it again and again.
  encoded_bytes_ += source->value.size();
  require(encoded_bytes_ <= file_.size, "encodes more bytes than it has");
  std::string* target = make(arena_.strings);
  const std::string_view in = source->value;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const auto lead = static_cast<unsigned char>(in[i]);
    if (lead < 0x80) {
      target->push_back(in[i]);
      continue;
    }
    // Valid UTF-8 already, so C2 and C3 lead two-byte sequences: U+0080 to U+00FF.
    require(lead <= 0xc3, "encodes a character that latin1 lacks");
    target->push_back(static_cast<char>((lead & 3) << 6 | (static_cast<unsigned char>(in[++i]) & 0x3f)));
  }
  return Bytes{*target};
}

void Reader::set_state(const Value& target, const Value& state) {
  // The attributes of an OrderedDict are torch's _metadata: module versions, which the renames do not need.
  if (std::holds_alternative<Dict*>(target)) return;
  if (const auto* dtype = std::get_if<NumpyDType*>(&target)) return set_dtype_state(**dtype, state);
  if (const auto* array = std::get_if<Array*>(&target)) return set_array_state(**array, state);
  refuse("sets the state of something that has none");
}

/// (version, byte order, subarray, names, fields, item size, alignment, flags)
void Reader::set_dtype_state(NumpyDType& dtype, const Value& state) const {
  const auto* tuple = std::get_if<Tuple*>(&state);
  const auto* order = tuple ? argument<Text>(**tuple, 1) : nullptr;
  require(order && order->value.size() == 1 && std::string_view("<>|=").find(order->value) != std::string_view::npos,
          "a numpy dtype has no byte order");
  for (std::size_t field = 2; field < 5; ++field)
    require(argument<None>(**tuple, field) != nullptr, "structured numpy dtypes are not supported");
  dtype.big_endian = order->value == ">";
}

/// (version, shape, dtype, is Fortran order, bytes)
void Reader::set_array_state(Array& array, const Value& state) const {
  const auto* tuple = std::get_if<Tuple*>(&state);
  require(tuple && (*tuple)->items.size() == 5, "a numpy array is not described by shape, dtype, order and bytes");
  const auto* size = argument<Tuple*>(**tuple, 1);
  const auto* dtype = argument<NumpyDType*>(**tuple, 2);
  const auto* fortran = argument<bool>(**tuple, 3);
  const auto* bytes = argument<Bytes>(**tuple, 4);
  const auto* string = argument<Text>(**tuple, 4);
  require(size && all_integers(**size) && dtype && fortran && (bytes || (string && string->python2)),
          "a numpy array is not described by shape, dtype, order and bytes");
  array = {*dtype, *size, *fortran, bytes ? bytes->value : string->value};
}

}  // namespace visage::nn::pickle
