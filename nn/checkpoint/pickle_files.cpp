#include "nn/checkpoint/pickle_files.h"

#include "nn/checkpoint/pickle.h"
#include "nn/checkpoint/state_dict.h"
#include "nn/checkpoint/zip.h"

#include <unordered_map>

namespace visage::nn {
namespace {

constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";  // 0x1950a86a20f9469cfc6c
constexpr std::size_t kAlignment = 8;                                                  // of the widest element
constexpr const char* kRemedy = "; download or save the file again";

/// "archive/" of the one record "archive/data.pkl".
std::string find_folder(const FileBytes& file, const ZipArchive& archive) {
  constexpr std::string_view kPickle = "/data.pkl";
  const ZipRecord* found = nullptr;
  for (const ZipRecord& record : archive.records()) {
    if (!record.name.ends_with(kPickle) || record.name.find('/') != record.name.size() - kPickle.size()) continue;
    check<CheckpointError>(!found, "", file.path, ": the zip file holds two checkpoints; save them apart");
    found = &record;
  }
  check<CheckpointError>(
      found != nullptr, "", file.path,
      ": the zip file holds no data.pkl, so torch.save did not write it; give the weights themselves");
  return std::string(found->name.substr(0, found->name.size() - kPickle.size() + 1));
}

void check_byte_order(const FileBytes& file, const ZipArchive& archive, const std::string& folder) {
  const ZipRecord* record = archive.find(folder + "byteorder");
  if (!record) return;
  const std::string_view order = file.text().substr(record->begin, record->size);
  check<CheckpointError>(order == "little", "", file.path, ": byte order ", printable(order),
                         " is not supported; save it on a little-endian machine");
}

std::size_t bytes_of(const FileBytes& file, const pickle::StorageRef& ref) {
  std::size_t bytes = 0;
  const bool overflow = __builtin_mul_overflow(static_cast<std::size_t>(ref.numel), size_of(ref.dtype), &bytes);
  check<CheckpointError>(!overflow, "", file.path, ": storage ", printable(ref.key), " has an impossible size",
                         kRemedy);
  return bytes;
}

/// The storages behind the pickles of a legacy file, in the order of its key list.
class LegacyStorages {
 public:
  LegacyStorages(const FileBytes& file, std::size_t at, const pickle::Value& keys) : file_(file), at_(at) {
    const auto* list = std::get_if<pickle::List*>(&keys);
    check<CheckpointError>(list != nullptr, "", file.path, ": the list of storages is missing", kRemedy);
    for (const pickle::Value& key : (*list)->items) {
      const auto* text = std::get_if<pickle::Text>(&key);
      check<CheckpointError>(text && place_.emplace(text->value, order_.size()).second, "", file.path,
                             ": the list of storages is damaged", kRemedy);
      order_.push_back(text->value);
    }
  }

  /// Element sizes are known only from the pickle, so places follow from walking it.
  void locate(const std::unordered_map<std::string_view, DType>& dtypes) {
    for (const std::string_view key : order_) {
      const auto dtype = dtypes.find(key);
      check<CheckpointError>(dtype != dtypes.end(), "", file_.path, ": storage ", printable(key),
                             " belongs to no tensor", kRemedy);
      check<CheckpointError>(file_.size - at_ >= 8, "", file_.path, ": ends before storage ", printable(key),
                             " (truncated?)", kRemedy);
      const std::uint64_t numel = little_endian(file_.data + at_, 8);
      at_ += 8;
      const std::size_t width = size_of(dtype->second);
      check<CheckpointError>(numel <= (file_.size - at_) / width, "", file_.path, ": ends within storage ",
                             printable(key), " (truncated?)", kRemedy);
      windows_[key] = {at_, numel * width};
      at_ += numel * width;
    }
  }

  std::shared_ptr<Storage> load(const pickle::StorageRef& ref) const {
    const auto found = windows_.find(ref.key);
    const bool fits = found != windows_.end() && found->second.bytes == bytes_of(file_, ref);
    check<CheckpointError>(fits, "", file_.path, ": storage ", printable(ref.key), " is missing or of another size",
                           kRemedy);
    return storage_of(file_, found->second.begin, found->second.bytes, kAlignment);
  }

 private:
  struct Window {
    std::size_t begin, bytes;
  };
  const FileBytes& file_;
  std::size_t at_;
  std::vector<std::string_view> order_;
  std::unordered_map<std::string_view, std::size_t> place_;
  std::unordered_map<std::string_view, Window> windows_;
};

Checkpoint parse_legacy(const FileBytes& file, pickle::Reader& reader) {
  reader.read();  // protocol version
  const pickle::Value system = reader.read();
  if (const auto* dict = std::get_if<pickle::Dict*>(&system)) {
    const pickle::Value* order = (*dict)->find("little_endian");
    const bool* little = order ? std::get_if<bool>(order) : nullptr;
    check<CheckpointError>(!little || *little, "", file.path,
                           ": was written on a big-endian machine; save it on a little-endian one");
  }
  const pickle::Value root = reader.read();
  std::unordered_map<std::string_view, DType> dtypes;
  for (const pickle::StorageRef& ref : reader.arena().storages) dtypes.emplace(ref.key, ref.dtype);
  const pickle::Value keys = reader.read();
  LegacyStorages storages(file, reader.position(), keys);
  storages.locate(dtypes);
  Checkpoint result = extract_state_dict(file, root, [&](const pickle::StorageRef& ref) { return storages.load(ref); });
  result.format = "torch legacy";
  return result;
}

}  // namespace

bool looks_like_zip(const FileBytes& file) { return file.text().starts_with("PK\x03\x04"); }

bool looks_like_pickle(const FileBytes& file) { return file.size >= 2 && file.data[0] == 0x80 && file.data[1] <= 5; }

Checkpoint parse_torch_zip(const FileBytes& file) {
  const ZipArchive archive(file);
  const std::string folder = find_folder(file, archive);
  check_byte_order(file, archive, folder);
  const ZipRecord& pickled = *archive.find(folder + "data.pkl");
  archive.check_crc(pickled);
  pickle::Reader reader(file, pickled.begin, pickled.begin + pickled.size);
  const pickle::Value root = reader.read();
  const auto load_storage = [&](const pickle::StorageRef& ref) {
    const ZipRecord* record = archive.find(folder + "data/" + std::string(ref.key));
    check<CheckpointError>(record && record->size == bytes_of(file, ref), "", file.path, ": storage ",
                           printable(ref.key), " is missing or of another size", kRemedy);
    archive.check_crc(*record);
    return storage_of(file, record->begin, record->size, kAlignment);
  };
  Checkpoint result = extract_state_dict(file, root, load_storage);
  result.format = "torch zip";
  return result;
}

Checkpoint parse_pickle_file(const FileBytes& file) {
  pickle::Reader reader(file, 0, file.size);
  const pickle::Value first = reader.read();
  if (const auto* magic = std::get_if<pickle::BigInteger>(&first); magic && magic->value == kLegacyMagic)
    return parse_legacy(file, reader);
  const auto no_storages = [&](const pickle::StorageRef& ref) -> std::shared_ptr<Storage> {
    fail<CheckpointError>("", file.path, ": names torch storage ", printable(ref.key), " but holds none", kRemedy);
  };
  Checkpoint result = extract_state_dict(file, first, no_storages);
  result.format = "numpy pickle";
  return result;
}

}  // namespace visage::nn
