#include "cli/usage.h"

#include "cli/suggest.h"
#include "tensor/error.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace visage::cli {
namespace {

using Strings = std::vector<std::string>;

// The command that the leading words name, as far as they name one.
struct Named {
  const CLI::App* app;
  std::string path;  // "visage data check"
  int next = 1;      // first word that is not part of it
  Strings below;     // names of the commands it has
};

Strings names_below(const CLI::App& app) {
  Strings names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

Named find_command(const CLI::App& app, int argc, char** argv) {
  Named named{.app = &app, .path = app.get_name(), .below = names_below(app)};
  while (named.next < argc &&
         std::find(named.below.begin(), named.below.end(), argv[named.next]) != named.below.end()) {
    named.app = named.app->get_subcommand(argv[named.next]);
    named.path.append(" ").append(argv[named.next++]);
    named.below = names_below(*named.app);
  }
  return named;
}

}  // namespace

std::string command_name(const CLI::App& app, int argc, char** argv) {
  const Named named = find_command(app, argc, argv);
  if (named.below.empty() || named.next >= argc || argv[named.next][0] == '-') return named.path;
  std::string words;
  for (int i = 1; i < named.next; ++i) words.append(argv[i]).append(" ");
  const std::string near = nearest(argv[named.next], named.below);
  fail<UsageError>("unknown command \"", words, argv[named.next], "\"",
                   near.empty() ? "" : "; did you mean " + words + near, "; ", named.path, " --help lists all");
}

void explain(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const Named named = find_command(app, argc, argv);
  Strings flags;
  for (const CLI::Option* option : named.app->get_options())
    for (const std::string& flag : option->get_lnames()) flags.push_back("--" + flag);
  for (int i = named.next; i < argc; ++i) {
    std::string flag = argv[i];
    flag = flag.substr(0, flag.find('='));
    if (!flag.starts_with("--") || std::find(flags.begin(), flags.end(), flag) != flags.end()) continue;
    const std::string near = nearest(flag, flags);
    fail<UsageError>("unknown option ", flag, near.empty() ? "" : "; did you mean " + near, "; ", named.path,
                     " --help lists all");
  }
  const bool extra = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  check<UsageError>(!extra || named.app->get_name() != "track",
                    "more than one INPUT; put a pattern of images in quotes so that the shell leaves it alone: "
                    "'frames/*.png'");
  fail<UsageError>("", error.what(), "; see ", named.path, " --help");
}

}  // namespace visage::cli
