#pragma once
#include <string>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace visage::cli {

/// The command that the leading words of the command line name, "visage data check", as far as they name one.
/// throws UsageError, with the nearest name, when they are no command of `app`.
[[nodiscard]] std::string command_name(const CLI::App& app, int argc, char** argv);

/// Throws the UsageError that a failed parse of the command line means to a user: what is wrong, what was probably
/// meant, which help has more.
[[noreturn]] void explain(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv);

}  // namespace visage::cli
