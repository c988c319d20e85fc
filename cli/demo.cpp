#include "cli/demo.h"

namespace visage::cli {

void run_demo(const DemoCommand&) {}

}  // namespace visage::cli
