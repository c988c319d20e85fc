#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace visage::cli {

enum class Verbosity { quiet, normal };

/// How far a run is, on stderr: a bar with frames a second and the time left on a terminal, otherwise a line every few
/// seconds.
class Progress {
 public:
  Progress(std::optional<std::int64_t> total, Verbosity verbosity);
  /// Clears the bar.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(std::int64_t done);

 private:
  using Clock = std::chrono::steady_clock;
  std::string text(std::int64_t done) const;

  std::optional<std::int64_t> total_;
  bool shown_, terminal_;
  Clock::time_point start_, last_;
};

}  // namespace visage::cli
