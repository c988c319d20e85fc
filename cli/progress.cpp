#include "cli/progress.h"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace visage::cli {
namespace {

constexpr double kBarInterval = 0.1, kLineInterval = 5;  // seconds
constexpr int kBarWidth = 28;

std::string clock_text(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  char text[48];
  if (whole >= 3600)
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  return text;
}

}  // namespace

Progress::Progress(std::optional<std::int64_t> total, Verbosity verbosity)
    : total_(total),
      shown_(verbosity == Verbosity::normal),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (shown_ && terminal_) std::fputs("\r\x1b[K", stderr);
}

std::string Progress::text(std::int64_t done) const {
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = elapsed > 0 ? static_cast<double>(done) / elapsed : 0;
  char figures[64];
  std::snprintf(figures, sizeof figures, "%.2f fps", rate);
  if (!total_ || *total_ < done) return "frame " + std::to_string(done) + ", " + figures;
  const double left = rate > 0 ? static_cast<double>(*total_ - done) / rate : 0;
  return "frame " + std::to_string(done) + "/" + std::to_string(*total_) + ", " + figures + ", " + clock_text(left) +
         " left";
}

void Progress::update(std::int64_t done) {
  if (!shown_) return;
  const Clock::time_point now = Clock::now();
  const bool last_frame = total_ && done >= *total_;
  const double since = std::chrono::duration<double>(now - last_).count();
  if (since < (terminal_ ? kBarInterval : kLineInterval) && !(terminal_ && last_frame)) return;
  last_ = now;
  std::string line = text(done);
  if (terminal_ && total_ && *total_ > 0) {
    const auto filled = static_cast<std::size_t>(std::min<std::int64_t>(kBarWidth, kBarWidth * done / *total_));
    line = "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] " + line;
  }
  std::fprintf(stderr, terminal_ ? "\r%s\x1b[K" : "%s\n", line.c_str());
}

}  // namespace visage::cli
