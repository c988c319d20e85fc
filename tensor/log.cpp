#include "tensor/log.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace visage::log {
namespace {

Level level_from_environment() {
  const char* value = std::getenv("VISAGE_LOG");
  const std::string_view name = value ? value : "info";
  if (name == "error") return Level::error;
  if (name == "warn") return Level::warn;
  if (name == "debug") return Level::debug;
  return Level::info;
}

std::atomic<Level>& level() {
  static std::atomic<Level> current = level_from_environment();
  return current;
}

}  // namespace

Level threshold() { return level(); }
void set_threshold(Level value) { level() = value; }

void write(Level level, const std::string& line) {
  static constexpr const char* kPrefix[] = {"error: ", "warning: ", "", "debug: "};
  const std::string text = kPrefix[static_cast<int>(level)] + line + '\n';
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace visage::log
