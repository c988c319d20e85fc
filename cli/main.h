#pragma once

namespace visage::cli {

/// Parses the command line and runs one command. Returns 0 done, 1 failed, 2 wrong use; never throws.
int run(int argc, char** argv);

}  // namespace visage::cli
