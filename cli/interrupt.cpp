#include "cli/interrupt.h"

#include <csignal>

namespace visage::cli {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};

volatile std::sig_atomic_t interrupted = 0;
struct sigaction previous[2];  // of kSignals

void restore() {
  for (int i = 0; i < 2; ++i) sigaction(kSignals[i], &previous[i], nullptr);
}

// Whatever signal comes next acts as it did before.
void on_signal(int) {
  interrupted = 1;
  restore();
}

}  // namespace

Interrupt::Interrupt() {
  interrupted = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  for (const int signal : kSignals) sigaddset(&action.sa_mask, signal);
  for (int i = 0; i < 2; ++i) sigaction(kSignals[i], nullptr, &previous[i]);
  // A shell lets its background jobs ignore Ctrl-C, which is meant for another.
  for (int i = 0; i < 2; ++i)
    if (previous[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);
}

Interrupt::~Interrupt() { restore(); }

bool Interrupt::requested() const { return interrupted != 0; }

}  // namespace visage::cli
