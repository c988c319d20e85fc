#include "cli/main.h"

int main(int argc, char** argv) { return visage::cli::run(argc, argv); }
