#include "tests/support/golden.h"

#include "tests/support/values.h"

#include <nlohmann/json.hpp>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace visage::test {
namespace {

static_assert(std::endian::native == std::endian::little);

std::string from_environment(const char* variable, const char* folder) {
  const char* value = std::getenv(variable);
  return value && *value ? value : std::string(VISAGE_TEST_DATA "/") + folder;
}

DType dtype_of(const std::string& name) {
  static const std::map<std::string, DType> types = {
      {"F32", DType::f32}, {"F64", DType::f64}, {"F16", DType::f16}, {"BF16", DType::bf16},
      {"I64", DType::i64}, {"I32", DType::i32}, {"U8", DType::u8},   {"BOOL", DType::boolean}};
  const auto found = types.find(name);
  check<InputError>(found != types.end(), "golden file: unknown dtype ", name);
  return found->second;
}

/// "full_shape=6x256x32x40;stride=101"
void read_subset(const std::string& text, GoldenTensor& tensor) {
  const auto value = [&](const std::string& key) {
    const std::size_t at = text.find(key + "=");
    check<InputError>(at != std::string::npos, "golden file: no ", key, " in ", text);
    return text.substr(at + key.size() + 1, text.find(';', at) - at - key.size() - 1);
  };
  tensor.full_size = {};
  std::istringstream shape(value("full_shape"));
  for (std::string part; std::getline(shape, part, 'x');) tensor.full_size.append(std::stoll(part));
  tensor.step = std::stoll(value("stride"));
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  check<InputError>(in.good(), "golden file: cannot open ", path);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

std::string golden_dir() { return from_environment("VISAGE_GOLDEN_DIR", "golden"); }
std::string golden_eval_dir() { return from_environment("VISAGE_GOLDEN_EVAL_DIR", "golden_eval"); }

GoldenFile::GoldenFile(const std::string& file) : file_(std::filesystem::path(golden_dir()) / file) {
  const std::string bytes = read_file(file_);
  std::uint64_t header_bytes = 0;
  check<InputError>(bytes.size() >= sizeof header_bytes, "golden file: ", file_, " is too short");
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  check<InputError>(header_bytes <= bytes.size() - sizeof header_bytes, "golden file: ", file_, " is too short");
  const std::size_t data_begin = sizeof header_bytes + header_bytes;
  const auto header = nlohmann::json::parse(bytes.begin() + sizeof header_bytes,
                                            bytes.begin() + static_cast<std::ptrdiff_t>(data_begin));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    GoldenTensor tensor;
    for (const std::int64_t length : entry.at("shape")) tensor.full_size.append(length);
    tensor.values = Tensor::empty(tensor.full_size, dtype_of(entry.at("dtype")));
    const std::size_t begin = entry.at("data_offsets").at(0);
    const std::size_t end = entry.at("data_offsets").at(1);
    check<InputError>(end - begin == tensor.values.nbytes() && data_begin + end <= bytes.size(), "golden file: ", file_,
                      ": bad extent of ", name);
    std::memcpy(tensor.values.view().data, bytes.data() + data_begin + begin, end - begin);
    tensors_.emplace(name, std::move(tensor));
  }
  if (header.contains("__metadata__")) {
    for (const auto& [name, text] : header.at("__metadata__").items()) {
      const auto found = tensors_.find(name);
      if (found != tensors_.end()) read_subset(text, found->second);
    }
  }
  const std::filesystem::path manifest = std::filesystem::path(file_).parent_path() / "manifest.tsv";
  if (std::filesystem::exists(manifest)) read_manifest(manifest);
}

void GoldenFile::read_manifest(const std::string& path) {
  const std::string own = std::filesystem::path(file_).filename();
  std::ifstream in(path);
  for (std::string row; std::getline(in, row);) {
    std::vector<std::string> cells;
    std::istringstream line(row);
    for (std::string cell; std::getline(line, cell, '\t');) cells.push_back(cell);
    if (cells.size() < 9 || cells[0] != own) continue;
    const auto found = tensors_.find(cells[1]);
    // Integer tensors have "mismatches=n" in this column: they must match exactly.
    if (found != tensors_.end()) found->second.f32_error = std::strtod(cells[8].c_str(), nullptr);
  }
}

std::vector<std::string> GoldenFile::names(const std::string& prefix) const {
  std::vector<std::string> result;
  for (auto at = tensors_.lower_bound(prefix); at != tensors_.end() && at->first.starts_with(prefix); ++at) {
    result.push_back(at->first);
  }
  return result;
}

const GoldenTensor& GoldenFile::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  check<InputError>(found != tensors_.end(), "golden file: ", file_, " has no tensor ", name);
  return found->second;
}

Tensor GoldenFile::load(const std::string& name) const {
  const GoldenTensor& tensor = at(name);
  check<InputError>(tensor.complete(), "golden file: ", name, " is a subset; use at() or matches()");
  return tensor.values;
}

testing::AssertionResult GoldenFile::matches(const std::string& name, const Tensor& got, double slack) const {
  const GoldenTensor& want = at(name);
  if (!got) return testing::AssertionFailure() << name << ": the result is empty";
  if (!(got.size() == want.full_size)) {
    return testing::AssertionFailure() << name << ": size " << got.size() << ", recorded " << want.full_size;
  }
  const std::vector<double> all = values_of(got);
  const std::vector<double> recorded = values_of(want.values);
  const double bound = 20 * want.f32_error + 1e-6 + slack;
  std::size_t failures = 0;
  std::size_t worst = 0;
  double worst_difference = -1;
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    const double value = all[i * static_cast<std::size_t>(want.step)];
    const bool same = value == recorded[i] || (std::isnan(value) && std::isnan(recorded[i]));
    const double difference = same ? 0 : std::abs(value - recorded[i]);
    if (difference <= bound) continue;
    ++failures;
    if (!(difference <= worst_difference)) worst = i, worst_difference = difference;
  }
  if (failures == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << name << ": " << failures << " of " << recorded.size()
                                     << " recorded elements differ by more than " << bound << "; worst at flat index "
                                     << worst * static_cast<std::size_t>(want.step) << ": got "
                                     << all[worst * static_cast<std::size_t>(want.step)] << ", recorded "
                                     << recorded[worst];
}

Tensor load_golden(const std::string& file, const std::string& name) { return GoldenFile(file).load(name); }

}  // namespace visage::test
