#pragma once
// Kinds of options the command line has besides CLI11's own. Heavy: for the one file that defines the commands.
#include "cli/suggest.h"
#include "tensor/error.h"
#include "visage/media/image.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace visage::cli {

using Strings = std::vector<std::string>;

/// "1280x720". throws UsageError.
media::Size parse_size(const std::string& text);
/// `fps` if it is a frame rate a clip can have. throws UsageError.
double checked_fps(double fps);

template <class T>
struct Named {
  std::string name;
  T value;
};

/// An option that takes one of a few words; another word is refused with the nearest one.
template <class T>
CLI::Option* add_choice(CLI::App* app, const std::string& flag, T& target, std::vector<Named<T>> choices,
                        const std::string& help) {
  Strings names;
  std::string list;
  for (const auto& [name, value] : choices) {
    names.push_back(name);
    list += (list.empty() ? "" : "|") + name;
  }
  const auto set = [=, &target](const std::string& word) {
    for (const auto& [name, value] : choices)
      if (name == word) {
        target = value;
        return;
      }
    const std::string near = nearest(word, names);
    fail<UsageError>("", flag, ": \"", word, "\" is not one of ", list, near.empty() ? "" : "; did you mean " + near);
  };
  return app->add_option_function<std::string>(flag, set, help)->type_name(list);
}

}  // namespace visage::cli
