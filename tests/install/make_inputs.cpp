// install_test_inputs CONFIG FOLDER: weights.safetensors for the configuration and three frames, as frames/*.png and as
// frames.rgb, for the install test.
#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/load.h"
#include "nn/init/test_weights.h"
#include "visage/config/config.h"
#include "visage/media/png.h"
#include "visage/model/model.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::filesystem::path folder = argv[2];
  visage::Model model(visage::config::load_config(argv[1]).model);
  visage::nn::fill_test_weights(model.params(), "install");
  visage::nn::write_safetensors((folder / "weights.safetensors").string(), visage::nn::file_tensors(model.params()));

  std::ofstream raw(folder / "frames.rgb", std::ios::binary);
  for (int t = 0; t < 3; ++t) {
    visage::media::Image frame(80, 64);
    for (int y = 0; y < frame.height; ++y)
      for (int x = 0; x < frame.width; ++x)
        frame.pixel(x, y)[t % 3] = std::abs(x - 20 - 4 * t) < 12 && std::abs(y - 32) < 12 ? 255 : 40;
    visage::media::write_png((folder / "frames" / (std::to_string(t) + ".png")).string(), frame);
    raw.write(reinterpret_cast<const char*>(frame.rgb.data()), std::ssize(frame.rgb));
  }
  return EXIT_SUCCESS;
}
