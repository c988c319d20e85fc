#include "cli/inspect.h"

#include "cli/commands.h"
#include "cli/convert.h"
#include "cli/options.h"
#include "nn/checkpoint/file_bytes.h"
#include "nn/checkpoint/load.h"
#include "nn/init/test_weights.h"
#include "visage/config/config.h"
#include "visage/model/model.h"

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <memory>
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

struct InspectCommand {
  std::string file;          // to list, or to make
  std::string test_weights;  // name of those to make; empty: list
  std::string config;        // of their model
  Strings overrides;
};

}  // namespace

void inspect(const std::string& file, std::ostream& out) {
  const nn::Checkpoint checkpoint = nn::read_checkpoint(file);
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
  out << file << ": " << checkpoint.format << ", " << checkpoint.tensors.size() << " tensors, " << elements
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

void define_inspect(CLI::App& program) {
  const auto command = std::make_shared<InspectCommand>();
  InspectCommand& c = *command;
  CLI::App& app =
      add_command(program, "inspect", "List the tensors of a weight file, or make test weights",
                  "Examples:\n"
                  "  visage inspect model_final.pth\n"
                  "  visage inspect --make-test-weights public test.safetensors --config configs/tiny.toml");
  app.add_option("FILE", c.file, "Weight file to list, or to make")->required();
  app.add_option("--make-test-weights", c.test_weights,
                 "Write the deterministic weights of this name (public: those of the reference numbers) to FILE, "
                 ".safetensors or .pth")
      ->type_name("NAME");
  add_config(app, c.config, c.overrides, ConfigDefault::builtin);
  app.final_callback([command] {
    if (command->test_weights.empty()) return inspect(command->file, std::cout);
    Model model(config::load_config(command->config, command->overrides).model);
    make_test_weights(model.params(), command->test_weights, command->file, std::cout);
  });
}

}  // namespace visage::cli
