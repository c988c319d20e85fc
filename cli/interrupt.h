#pragma once

namespace visage::cli {

/// While it lives, the first SIGINT (Ctrl-C) or SIGTERM only asks for an end; a second one of either kind acts as it
/// did before, that is, kills. A signal that was ignored stays so. Reading from a pipe is woken up. One at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool requested() const;
};

}  // namespace visage::cli
