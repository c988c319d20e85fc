#include "cli/data.h"

#include "visage/config/value.h"

#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

namespace visage::cli {

void check_data(const DataCommand& command, std::ostream& out) {
  const train::DataReport report = train::check_data(command.path, command.options);
  train::print(report, out);
  out.flush();
  (void)train::require_valid(report);
}

void print_config(const DataCommand& command, std::ostream& out) {
  const auto dataset = train::open_training_data(command.path, command.options);
  const auto text = [](const config::Value& value) { return config::text_of(value); };
  // The configuration may be used from elsewhere.
  const auto absolute = [](const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal().string();
  };
  std::vector<std::string> names;
  for (const annotation::Category& category : dataset->classes()) names.push_back(category.name);
  out << "class_names = " << text(names) << "\n\n[model.detector]\nnum_classes = " << names.size()
      << "\n\n[train.data]\nkind = " << text(dataset->material() == train::Material::images ? "coco" : "ytvis")
      << "\npath = " << text(absolute(command.path)) << '\n';
  if (!command.options.image_root.empty()) out << "images = " << text(absolute(command.options.image_root)) << '\n';
}

}  // namespace visage::cli
