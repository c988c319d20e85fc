// torch.save's file: a zip of plainly stored records, one of them a protocol 2 pickle that refers to the others.
#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/file_bytes.h"
#include "nn/checkpoint/strided.h"
#include "tensor/files.h"

#include <zlib.h>

#include <set>

namespace visage::nn {
namespace {

constexpr std::size_t kAlignment = 64;           // of record data, as torch has it, so that they can be mapped
constexpr std::uint64_t kLargest = 0xffffffffu;  // without zip64
constexpr std::size_t kMostRecords = 0xffff;
constexpr std::uint16_t kVersionNeeded = 20, kDate1980 = 0x21;

void put(std::string& out, std::uint64_t value, int bytes) {
  for (; bytes > 0; --bytes, value >>= 8) out += static_cast<char>(value & 0xff);
}

// Pickle operations; see Python's Lib/pickletools.py.
void put_text(std::string& out, std::string_view text) {
  out += 'X';
  put(out, text.size(), 4);
  out += text;
}

void put_integer(std::string& out, std::int64_t value) {
  const bool small = value >= 0 && value <= INT32_MAX;
  out += small ? "J" : "\x8a\x08";
  put(out, static_cast<std::uint64_t>(value), small ? 4 : 8);
}

void put_tuple(std::string& out, const Dims& dims) {
  out += '(';
  for (int i = 0; i < dims.rank; ++i) put_integer(out, dims.d[i]);
  out += 't';
}

constexpr std::string_view kOrderedDict = "ccollections\nOrderedDict\n)R";

const char* storage_class(DType type) {
  switch (type) {
    case DType::f32: return "ctorch\nFloatStorage\n";
    case DType::f64: return "ctorch\nDoubleStorage\n";
    case DType::f16: return "ctorch\nHalfStorage\n";
    case DType::bf16: return "ctorch\nBFloat16Storage\n";
    case DType::i64: return "ctorch\nLongStorage\n";
    case DType::i32: return "ctorch\nIntStorage\n";
    case DType::u8: return "ctorch\nByteStorage\n";
    case DType::boolean: return "ctorch\nBoolStorage\n";
  }
  return "";
}

void put_tensor(std::string& out, const Tensor& tensor, std::size_t key) {
  out += "ctorch._utils\n_rebuild_tensor_v2\n((";
  put_text(out, "storage");
  out += storage_class(tensor.dtype());
  put_text(out, std::to_string(key));
  put_text(out, "cpu");
  put_integer(out, tensor.numel());
  out += "tQ";
  put_integer(out, 0);
  put_tuple(out, tensor.size());
  put_tuple(out, contiguous_strides(tensor.size()));
  out += '\x89';
  out += kOrderedDict;
  out += "tR";
}

/// The official modules rename the entries of a file without these versions, as of one from before the renames.
void put_metadata(std::string& out) {
  out += '}';
  put_text(out, "_metadata");
  out += kOrderedDict;
  out += '(';
  for (const auto& [module, version] :
       {std::pair("", 1), std::pair("sem_seg_head", 2), std::pair("sem_seg_head.predictor", 2)}) {
    put_text(out, module);
    out += '}';
    put_text(out, "version");
    put_integer(out, version);
    out += 's';
  }
  out += "usb";
}

std::string make_pickle(std::span<const NamedTensor> tensors) {
  std::string out = "\x80\x02}";
  put_text(out, "model");
  out += kOrderedDict;
  out += '(';
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    put_text(out, tensors[i].name);
    put_tensor(out, tensors[i].value, i);
  }
  out += 'u';
  put_metadata(out);
  return out + "s.";
}

using Source = std::function<void(const std::function<void(std::string_view)>&)>;

class ZipWriter {
 public:
  explicit ZipWriter(const std::string& path) : file_(path) {}

  void add(const std::string& name, std::string_view content) {
    add(name, [&](const auto& sink) { sink(content); });
  }

  /// `source` is asked twice: the checksum stands before the data.
  void add(const std::string& name, const Source& source) {
    uLong crc = 0;
    std::uint64_t size = 0;
    source([&](std::string_view bytes) {
      crc = crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
      size += bytes.size();
    });
    std::string fields;  // shared by the local header and the directory entry
    put(fields, kVersionNeeded, 2);
    put(fields, 0, 6);  // no flags, stored, midnight
    put(fields, kDate1980, 2);
    put(fields, crc, 4);
    put(fields, size, 4);
    put(fields, size, 4);
    put(fields, name.size(), 2);
    put_directory_entry(fields, name);
    write(local_header(fields, name));
    source([&](std::string_view bytes) { write(bytes); });
    ++count_;
  }

  void commit() {
    const std::uint64_t begin = written_;
    std::string end = "PK\x05\x06";
    put(end, 0, 4);
    put(end, count_, 2);
    put(end, count_, 2);
    put(end, directory_.size(), 4);
    put(end, begin, 4);
    put(end, 0, 2);
    file_.write(directory_);
    file_.write(end);
    file_.commit();
  }

 private:
  void write(std::string_view bytes) {
    file_.write(bytes);
    written_ += bytes.size();
  }

  void put_directory_entry(const std::string& fields, const std::string& name) {
    directory_ += "PK\x01\x02";
    put(directory_, kVersionNeeded, 2);
    directory_ += fields;
    put(directory_, 0, 12);  // no extra field, comment, disk or attributes
    put(directory_, written_, 4);
    directory_ += name;
  }

  /// With an extra field ("FB", as torch names it) that moves the data to the next aligned byte.
  std::string local_header(const std::string& fields, const std::string& name) const {
    std::string header = "PK\x03\x04";
    header += fields;
    const std::size_t before = written_ + header.size() + 2 + name.size() + 4;
    const std::size_t padding = (kAlignment - before % kAlignment) % kAlignment;
    put(header, 4 + padding, 2);
    header += name;
    header += "FB";
    put(header, padding, 2);
    return header + std::string(padding, 'Z');
  }

  files::AtomicFile file_;
  std::string directory_;
  std::uint64_t written_ = 0;
  std::size_t count_ = 0;
};

void check_tensors(const std::string& path, std::span<const NamedTensor> tensors) {
  constexpr std::uint64_t kOverhead = 1024;  // of one record, generously
  std::uint64_t bytes = 0;
  std::set<std::string_view> names;
  for (const NamedTensor& one : tensors) {
    check<InputError>(names.insert(one.name).second && is_utf8(one.name), "", path, ": tensor name ",
                      printable(one.name), " is used twice or is not valid UTF-8; rename it");
    check<DeviceError>(one.value.device().type == DeviceType::cpu, "write_pth: ", one.name,
                       " is not in host memory; copy it first");
    bytes += one.value.nbytes() + one.name.size() + kOverhead;
  }
  check<InputError>(bytes < kLargest && tensors.size() + 3 <= kMostRecords, "", path,
                    ": .pth is written up to 4 GiB and 65,532 tensors; write .safetensors instead");
}

}  // namespace

void write_pth(const std::string& path, std::span<const NamedTensor> tensors) {
  check_tensors(path, tensors);
  ZipWriter zip(path);
  zip.add("archive/data.pkl", make_pickle(tensors));
  zip.add("archive/byteorder", "little");
  for (std::size_t i = 0; i < tensors.size(); ++i)
    zip.add("archive/data/" + std::to_string(i),
            [&](const auto& sink) { stream_contiguous(tensors[i].value.view(), sink); });
  zip.add("archive/version", "3\n");
  zip.commit();
}

}  // namespace visage::nn
