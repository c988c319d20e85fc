#pragma once
#include "tensor/cpu/parallel.h"

namespace visage::test {

/// Runs with this many threads until the end of the scope.
class Threads {
 public:
  explicit Threads(int count) : before_(cpu::num_threads()) { cpu::set_num_threads(count); }
  ~Threads() { cpu::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace visage::test
