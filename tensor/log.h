#pragma once
#include <sstream>
#include <string>

namespace visage::log {

enum class Level { error, warn, info, debug };

/// Least important level that is printed. From VISAGE_LOG (error, warn, info, debug) at start; default info.
Level threshold();
void set_threshold(Level level);
/// Writes one line to stderr, prefixed by the level unless it is info.
void write(Level level, const std::string& line);

template <class... Parts>
void line(Level level, const Parts&... parts) {
  if (level > threshold()) return;
  std::ostringstream text;
  ((text << parts), ...);
  write(level, text.str());
}
template <class... Parts>
void error(const Parts&... parts) {
  line(Level::error, parts...);
}
template <class... Parts>
void warn(const Parts&... parts) {
  line(Level::warn, parts...);
}
template <class... Parts>
void info(const Parts&... parts) {
  line(Level::info, parts...);
}
template <class... Parts>
void debug(const Parts&... parts) {
  line(Level::debug, parts...);
}

}  // namespace visage::log
