#include "cli/interrupt.h"

#include <gtest/gtest.h>

#include <csignal>

namespace visage::cli {
namespace {

volatile std::sig_atomic_t seen = 0;

class InterruptTest : public testing::Test {
 protected:
  InterruptTest() {
    seen = 0;
    std::signal(SIGINT, [](int) { seen = 1; });
  }
  ~InterruptTest() override { std::signal(SIGINT, SIG_DFL); }
};

void (*handler_of(int number))(int) {
  struct sigaction action {};
  sigaction(number, nullptr, &action);
  return action.sa_handler;
}

TEST_F(InterruptTest, AsksOnceAndGivesTheSignalsBack) {
  const Interrupt interrupt;
  EXPECT_FALSE(interrupt.requested());
  raise(SIGINT);
  EXPECT_TRUE(interrupt.requested());
  EXPECT_EQ(seen, 0);
  EXPECT_EQ(handler_of(SIGTERM), SIG_DFL) << "after one kind the other kills";
  raise(SIGINT);
  EXPECT_EQ(seen, 1);
}

TEST_F(InterruptTest, RestoresWhatWasThere) {
  const auto before = handler_of(SIGINT);
  { const Interrupt interrupt; }
  EXPECT_EQ(handler_of(SIGINT), before);
  EXPECT_EQ(handler_of(SIGTERM), SIG_DFL);
}

TEST_F(InterruptTest, LeavesIgnoredSignalsIgnored) {
  std::signal(SIGINT, SIG_IGN);
  {
    const Interrupt interrupt;
    raise(SIGINT);
    EXPECT_FALSE(interrupt.requested());
  }
  EXPECT_EQ(handler_of(SIGINT), SIG_IGN);
}

}  // namespace
}  // namespace visage::cli
