#pragma once

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace visage::cli {

/// Throws UsageError, with the nearest name, when the leading words of the command line are no command of `app`.
void check_command(const CLI::App& app, int argc, char** argv);

/// Throws the UsageError that a failed parse of the command line means to a user: what is wrong, what was probably
/// meant, which help has more.
[[noreturn]] void explain(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv);

}  // namespace visage::cli
