#include "cli/main.h"

#include "cli/commands.h"
#include "cli/usage.h"
#include "cli/version.h"
#include "tensor/error.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>

namespace visage::cli {
namespace {

class Program {
 public:
  Program(int argc, char** argv);
  int run();
  /// "visage" or "visage track": where messages come from.
  const std::string& name() const { return name_; }

 private:
  CLI::App app_{"VISAGE: video instance segmentation. Finds, outlines and follows the objects of a video.", "visage"};
  int argc_;
  char** argv_;
  std::string name_ = "visage";
};

Program::Program(int argc, char** argv) : argc_(argc), argv_(argv) {
  app_.set_version_flag("--version", std::string("visage ") + kVersion + " (" + kFeatures + ")",
                        "Print the version and what this build can do");
  app_.require_subcommand(1);
  app_.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // inherited by the commands
  app_.get_formatter()->column_width(34);
  app_.footer(
      "Each command has its own help: visage track --help\n"
      "Exit codes: 0 done, 1 failed, 2 wrong use.");
  const std::vector<std::string> arguments(argv, argv + argc);
  define_track(app_, arguments);
  define_demo(app_, arguments);
  define_export(app_);
  define_import(app_);
  define_pseudo(app_);
  define_eval(app_);
  define_train(app_);
  define_sweep(app_);
  define_analyze(app_);
  define_profile(app_);
  define_inspect(app_);
  define_convert(app_);
  define_data(app_);
}

int Program::run() {
  name_ = command_name(app_, argc_, argv_);
  if (argc_ < 2) {
    std::fputs(app_.help().c_str(), stderr);
    return 2;
  }
  try {
    app_.parse(argc_, argv_);  // and runs the command
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app_.exit(error);  // help and version
    explain(app_, error, argc_, argv_);
  }
  std::cout.flush();
  check<InputError>(std::cout.good(), "cannot write to the standard output");
  return 0;
}

}  // namespace

int run(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows past its limit is an error of write(), not an end of the process
  Program program(argc, argv);
  const auto report = [&](const char* message, int code) {
    std::string line = program.name() + ": " + message;
    for (std::size_t at; (at = line.find("\n  ")) != std::string::npos;) line.replace(at, 3, "; ");
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::fprintf(stderr, "%s\n", line.c_str());
    return code;
  };
  try {
    return program.run();
  } catch (const UsageError& error) {
    return report(error.what(), 2);
  } catch (const std::bad_alloc&) {
    return report("out of memory; use smaller frames (--shortest-edge) or a smaller model", 1);
  } catch (const std::exception& error) {
    return report(error.what(), 1);
  }
}

}  // namespace visage::cli
