#include "cli/data.h"

#include "cli/commands.h"
#include "cli/options.h"
#include "visage/config/value.h"

#include <filesystem>
#include <iostream>
#include <memory>
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

void define_data(CLI::App& program) {
  const auto command = std::make_shared<DataCommand>();
  DataCommand& c = *command;
  CLI::App& app =
      add_command(program, "data", "Look at data sets: visage data check PATH, visage data config PATH", "");
  app.require_subcommand(1);
  CLI::App& check = *app.add_subcommand("check", "List what a data set holds and everything that is wrong with it");
  check.footer(
      "YouTube-VIS, OVIS and COCO instances are read; docs/data.md has the layouts. Exit code 1: there are errors.\n"
      "Examples:\n"
      "  visage data check ytvis_2021/train.json\n"
      "  visage data check my_videos --frames all");
  CLI::App& config = *app.add_subcommand("config", "Print a configuration that trains on a data set");
  config.footer(
      "What it leaves out is the official recipe for YouTube-VIS 2019: docs/configuration.md.\n"
      "Example:\n"
      "  visage data config my_videos > my.toml\n"
      "  visage train --config my.toml --init model_final_3c8ec9.pkl --output runs/mine");
  for (CLI::App* const either : {&check, &config}) {
    either->add_option("PATH", c.path, "Annotation file, or a folder with one")->required();
    either->add_option("--images", c.options.image_root, "Folder that file names are relative to (default: found)")
        ->type_name("DIR");
  }
  add_choice(
      check, "--frames", c.options.frames,
      {{"none", train::FrameCheck::none}, {"sample", train::FrameCheck::sample}, {"all", train::FrameCheck::all}},
      "Image files: leave alone, see that all exist and look into some (default), or decode all");
  check.final_callback([command] { check_data(*command, std::cout); });
  config.final_callback([command] { print_config(*command, std::cout); });
}

}  // namespace visage::cli
