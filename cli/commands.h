#pragma once
// The commands of the program. Each is defined, with its options, in the file that implements it: parsing a command
// line that names it fills in its options and runs it.
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace visage::cli {

/// `arguments`: the command line as typed, for run.json.
void define_track(CLI::App& program, const std::vector<std::string>& arguments);
void define_demo(CLI::App& program, const std::vector<std::string>& arguments);
void define_export(CLI::App& program);
void define_import(CLI::App& program);
void define_pseudo(CLI::App& program);
void define_eval(CLI::App& program);
void define_train(CLI::App& program);
void define_sweep(CLI::App& program);
void define_analyze(CLI::App& program);
void define_profile(CLI::App& program);
void define_inspect(CLI::App& program);
void define_convert(CLI::App& program);
void define_data(CLI::App& program);

}  // namespace visage::cli
