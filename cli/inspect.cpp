#include "cli/inspect.h"

#include "cli/convert.h"
#include "nn/checkpoint/file_bytes.h"
#include "nn/checkpoint/load.h"
#include "nn/init/test_weights.h"

#include <algorithm>
#include <iomanip>
#include <ostream>

namespace visage::cli {
namespace {

constexpr std::size_t kWidestName = 100;

std::string shape_text(const Dims& size) {
  std::string text = "[";
  for (int i = 0; i < size.rank; ++i) {
    if (i) text += ", ";
    text += std::to_string(size.d[i]);
  }
  return text + "]";
}

}  // namespace

void inspect(const InspectOptions& options, std::ostream& out) {
  const nn::Checkpoint checkpoint = nn::read_checkpoint(options.file);
  std::size_t width = 0;
  for (const nn::NamedTensor& one : checkpoint.tensors) width = std::max(width, nn::escaped(one.name).size());
  width = std::min(width, kWidestName);
  std::int64_t elements = 0;
  std::size_t bytes = 0;
  for (const auto& [name, value] : checkpoint.tensors) {
    out << std::left << std::setw(static_cast<int>(width)) << nn::escaped(name) << "  " << std::setw(4)
        << name_of(value.dtype()) << "  " << std::setw(20) << shape_text(value.size()) << "  " << value.nbytes()
        << " bytes\n";
    elements += value.numel();
    bytes += value.nbytes();
  }
  out << options.file << ": " << checkpoint.format << ", " << checkpoint.tensors.size() << " tensors, " << elements
      << " elements, " << bytes << " bytes\n";
  for (const auto& [key, value] : checkpoint.metadata)
    out << "metadata " << nn::escaped(key) << ": " << nn::escaped(value) << "\n";
}

void make_test_weights(nn::ParamStore& store, const std::string& name, const std::string& file, std::ostream& out) {
  check_weight_name(file);
  nn::fill_test_weights(store, name);
  save_weights(file, nn::file_tensors(store), {{"test_weights", name}});
  out << file << ": " << store.entries().size() << " tensors of test weights '" << name
      << "'; they detect nothing, they make implementations comparable\n";
}

}  // namespace visage::cli
