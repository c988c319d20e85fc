#include "nn/checkpoint/safetensors.h"

#include "nn/checkpoint/strided.h"
#include "tensor/files.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace visage::nn {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kPrefix = 8;                             // bytes of the header length
constexpr std::size_t kLongestHeader = std::size_t{32} << 20;  // 200,000 tensors; bounds the memory of the parse
constexpr int kDeepestHeader = 3;                              // {"name": {"shape": [..]}}
constexpr const char* kMetadata = "__metadata__";
constexpr const char* kRemedy = "; download or convert the file again";

struct DTypeName {
  const char* text;
  DType type;
};
constexpr DTypeName kDTypes[] = {{"F32", DType::f32}, {"F16", DType::f16},     {"BF16", DType::bf16},
                                 {"F64", DType::f64}, {"I32", DType::i32},     {"I64", DType::i64},
                                 {"U8", DType::u8},   {"BOOL", DType::boolean}};

struct Placed {
  std::string name;
  DType dtype;
  Dims size;
  std::uint64_t begin, end;
};

/// Parses with bounded depth and without duplicate names, both of which the JSON library would let through.
Json parse_header(const FileBytes& file, std::size_t length) {
  std::set<std::string> names;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    check<CheckpointError>(depth <= kDeepestHeader, "", file.path, ": the header is nested too deeply", kRemedy);
    if (event == Json::parse_event_t::key && depth == 1)
      check<CheckpointError>(names.insert(value.get<std::string>()).second, "", file.path, ": tensor ",
                             printable(value.get<std::string>()), " is listed twice", kRemedy);
    return true;
  };
  const std::uint8_t* begin = file.data + kPrefix;
  try {
    Json header = Json::parse(begin, begin + length, watch);
    check<CheckpointError>(header.is_object(), "", file.path, ": the header is not a JSON object", kRemedy);
    return header;
  } catch (const Json::exception& error) {
    fail<CheckpointError>("", file.path, ": the header is not valid JSON (byte ",
                          error.id == 101 ? static_cast<const Json::parse_error&>(error).byte : 0, ")", kRemedy);
  }
}

[[noreturn]] void refuse(const FileBytes& file, const std::string& name, const std::string& reason) {
  fail<CheckpointError>("", file.path, ": tensor ", printable(name), ": ", reason, kRemedy);
}

DType parse_dtype(const FileBytes& file, const std::string& name, const Json& entry) {
  const auto found = entry.find("dtype");
  if (found == entry.end() || !found->is_string()) refuse(file, name, "has no dtype");
  const auto& text = found->get_ref<const std::string&>();
  for (const DTypeName& known : kDTypes)
    if (text == known.text) return known.type;
  fail<CheckpointError>("", file.path, ": tensor ", printable(name), ": dtype ", printable(text),
                        " is not supported; convert it to F32, F16, BF16, F64, I32, I64, U8 or BOOL");
}

Dims parse_shape(const FileBytes& file, const std::string& name, const Json& entry) {
  const auto found = entry.find("shape");
  if (found == entry.end() || !found->is_array()) refuse(file, name, "has no shape");
  if (found->size() > kMaxRank) refuse(file, name, "has more than 6 axes");
  Dims size;
  for (const Json& value : *found) {
    if (!value.is_number_unsigned()) refuse(file, name, "a size in its shape is not a whole number");
    const auto extent = value.get<std::uint64_t>();
    if (extent > INT64_MAX) refuse(file, name, "a size in its shape is too large");
    size.append(static_cast<std::int64_t>(extent));
  }
  return size;
}

Placed parse_tensor(const FileBytes& file, const std::string& name, const Json& entry, std::size_t data_begin) {
  if (!entry.is_object()) refuse(file, name, "its header entry is not an object");
  const DType dtype = parse_dtype(file, name, entry);
  const Dims size = parse_shape(file, name, entry);
  const auto offsets = entry.find("data_offsets");
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2 || !(*offsets)[0].is_number_unsigned() ||
      !(*offsets)[1].is_number_unsigned())
    refuse(file, name, "has no data_offsets [begin, end]");
  const auto begin = (*offsets)[0].get<std::uint64_t>(), end = (*offsets)[1].get<std::uint64_t>();
  const std::uint64_t available = file.size - data_begin;
  if (begin > end) refuse(file, name, "its data_offsets are reversed");
  if (end > available)
    refuse(
        file, name,
        "ends at data byte " + std::to_string(end) + ", the file has " + std::to_string(available) + " (truncated?)");
  const std::int64_t numel = checked_numel(size, size_of(dtype));
  if (numel < 0 || static_cast<std::uint64_t>(numel) * size_of(dtype) != end - begin)
    refuse(file, name, "its shape and dtype do not fit its " + std::to_string(end - begin) + " bytes");
  return {name, dtype, size, begin, end};
}

void parse_metadata(const FileBytes& file, const Json& entry, Checkpoint& result) {
  check<CheckpointError>(entry.is_object(), "", file.path, ": __metadata__ is not an object", kRemedy);
  for (const auto& [key, value] : entry.items()) {
    check<CheckpointError>(value.is_string(), "", file.path, ": __metadata__ ", printable(key), " is not a string",
                           kRemedy);
    result.metadata[key] = value.get<std::string>();
  }
}

/// The format allows neither overlaps nor unused bytes; both hide data that two readers would see differently.
void check_tiling(const FileBytes& file, const std::vector<Placed>& placed, std::size_t data_begin) {
  std::uint64_t expected = 0;
  for (const Placed& one : placed) {
    if (one.begin != expected)
      refuse(file, one.name, one.begin < expected ? "overlaps another tensor" : "follows a gap");
    expected = one.end;
  }
  const std::uint64_t extra = file.size - data_begin - expected;
  check<CheckpointError>(extra == 0, "", file.path, ": ", extra, " bytes after the last tensor belong to none",
                         kRemedy);
}

const char* safetensors_name(DType type) {
  for (const DTypeName& known : kDTypes)
    if (known.type == type) return known.text;
  return "";
}

std::vector<const NamedTensor*> by_element_size(const std::string& path, std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  std::set<std::string_view> names;
  for (const NamedTensor& one : tensors) {
    check<InputError>(names.insert(one.name).second && one.name != kMetadata, "", path,
                      ": cannot hold two tensors named ", printable(one.name));
    check<DeviceError>(one.value.device().type == DeviceType::cpu, "write_safetensors: ", one.name,
                       " is not in host memory; copy it first");
    order.push_back(&one);
  }
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    return size_of(a->value.dtype()) > size_of(b->value.dtype());
  });
  return order;
}

std::string make_header(const std::string& path, const std::vector<const NamedTensor*>& order,
                        const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  std::uint64_t offset = 0;
  for (const NamedTensor* one : order) {
    const Dims& size = one->value.size();
    const std::uint64_t end = offset + one->value.nbytes();
    Json shape = Json::array();
    for (int i = 0; i < size.rank; ++i) shape.push_back(size.d[i]);
    header[one->name] = {
        {"dtype", safetensors_name(one->value.dtype())}, {"shape", shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  try {
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    return text;
  } catch (const Json::exception&) {
    fail<InputError>("", path, ": a tensor name or metadata entry is not valid UTF-8; rename it");
  }
}

}  // namespace

bool looks_like_safetensors(const FileBytes& file) {
  if (file.size < kPrefix + 2) return false;
  const std::uint64_t length = little_endian(file.data, kPrefix);
  return file.data[kPrefix] == '{' && length <= kLongestHeader;
}

Checkpoint parse_safetensors(const FileBytes& file) {
  check<CheckpointError>(file.size >= kPrefix, "", file.path, ": is too short for safetensors", kRemedy);
  const std::uint64_t length = little_endian(file.data, kPrefix);
  check<CheckpointError>(length <= kLongestHeader && length <= file.size - kPrefix, "", file.path,
                         ": the header needs ", length, " bytes, the file has ", file.size - kPrefix, " (truncated?)",
                         kRemedy);
  const Json header = parse_header(file, length);
  const std::size_t data_begin = kPrefix + length;
  Checkpoint result;
  result.format = "safetensors";
  result.path = file.path;
  std::vector<Placed> placed;
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadata) {
      parse_metadata(file, entry, result);
    } else {
      placed.push_back(parse_tensor(file, name, entry, data_begin));
    }
  }
  std::stable_sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_tiling(file, placed, data_begin);
  for (const Placed& one : placed) {
    auto storage = storage_of(file, data_begin + one.begin, one.end - one.begin, size_of(one.dtype));
    result.tensors.push_back(
        {one.name, Tensor::from_storage(std::move(storage), 0, one.size, contiguous_strides(one.size), one.dtype)});
  }
  return result;
}

void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const auto order = by_element_size(path, tensors);
  const std::string header = make_header(path, order, metadata);
  files::AtomicFile file(path);
  char prefix[kPrefix];
  for (std::size_t i = 0; i < kPrefix; ++i) prefix[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
  file.write({prefix, kPrefix});
  file.write(header);
  for (const NamedTensor* one : order)
    stream_contiguous(one->value.view(), [&](std::string_view bytes) { file.write(bytes); });
  file.commit();
}

}  // namespace visage::nn
