#include "cli/main.h"

#include "tensor/cpu/parallel.h"

int main(int argc, char** argv) {
  visage::cpu::limit_spinning(argv);
  return visage::cli::run(argc, argv);
}
