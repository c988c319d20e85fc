#include "cli/options.h"

#include "tensor/log.h"
#include "visage/media/frame_rate.h"

#include <charconv>

namespace visage::cli {

CLI::App& add_command(CLI::App& program, const char* name, const char* help, const char* footer) {
  CLI::App& command = *program.add_subcommand(name, help);
  command.footer(footer);
  command.group("Commands");
  return command;
}

media::Size parse_size(const std::string& text) {
  media::Size size;
  const char* const end = text.data() + text.size();
  const auto [cross, width_error] = std::from_chars(text.data(), end, size.width);
  const bool has_cross = width_error == std::errc() && cross != end && *cross == 'x';
  const auto height = has_cross ? std::from_chars(cross + 1, end, size.height) : std::from_chars_result{};
  check<UsageError>(has_cross && height.ec == std::errc() && height.ptr == end && size.width > 0 && size.height > 0,
                    "--size: \"", text, "\" is not a size; write WIDTHxHEIGHT, for example 1280x720");
  return size;
}

double checked_fps(double fps) {
  check<UsageError>(fps >= media::kLeastFps && fps <= media::kMostFps, "--fps: must be ", media::kLeastFps, " to ",
                    media::kMostFps, "; got ", fps);
  return fps;
}

void add_config(CLI::App& app, std::string& file, Strings& overrides, ConfigDefault otherwise) {
  app.add_option("--config", file,
                 otherwise == ConfigDefault::weights
                     ? "Configuration, TOML (default: the one in the weights, where they "
                       "have it, else ResNet-50 for YouTube-VIS 2019)"
                     : "Configuration, TOML (default: ResNet-50 for YouTube-VIS 2019)")
      ->type_name("FILE")
      ->group("Model");
  app.add_option("--set", overrides, "Override a key of the configuration, e.g. --set tracking.alpha=0.5")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all()
      ->group("Model");
}

void add_config_option(CLI::App& app, const ConfigOption& option, Strings& overrides, const char* group) {
  const std::string key = option.key;
  app.add_option_function<std::string>(
         option.flag, [&overrides, key](const std::string& value) { overrides.push_back(key + "=" + value); },
         option.help)
      ->type_name(option.type)
      ->group(group);
}

void add_weights(CLI::App& app, WeightChoice& weights) {
  add_weight_file(app, weights);
  app.add_option("--test-weights", weights.test_weights,
                 "Deterministic weights made from a name, e.g. public; their masks are meaningless")
      ->type_name("NAME")
      ->group("Model");
  app.add_flag_callback(
         "--init-missing", [&weights] { weights.fit = Fit::image_checkpoint; },
         "Accept a Mask2Former image checkpoint: its class head is left out and what it lacks is "
         "initialised (default: everything must fit)")
      ->group("Model");
  add_device(app, weights.device);
}

void add_weight_file(CLI::App& app, WeightChoice& weights) {
  app.add_option("--weights", weights.file, "Trained weights: .safetensors, .pth or .pkl")
      ->type_name("FILE")
      ->group("Model");
}

void add_device(CLI::App& app, std::string& device) {
  app.add_option("--device", device, "auto (a GPU where there is one), cpu, cuda or cuda:N")
      ->type_name("NAME")
      ->group("Speed");
}

void add_precision(CLI::App& app, Precision& precision) {
  add_choice(app, "--precision", precision,
             {{"f32", Precision::f32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}},
             "Arithmetic of the network; tf32 needs a GPU, bf16 a GPU or a CPU with AMX or AVX512-bf16")
      ->group("Speed");
}

void add_plan(CLI::App& app, pipeline::Plan& plan) {
  add_choice(app, "--plan", plan, {{"fast", pipeline::Plan::fast}, {"plain", pipeline::Plan::plain}},
             "Optimised network, or the modules as written")
      ->group("Speed");
}

void add_threads(CLI::App& app, int& threads) {
  app.add_option("--threads", threads, "CPU threads (default: all cores)")->type_name("N")->group("Speed");
}

void add_existing(CLI::App& app, files::Existing& existing) {
  app.add_flag_callback(
         "--overwrite", [&existing] { existing = files::Existing::replace; },
         "Replace the results of an earlier run in the output folder")
      ->group("Output");
}

void add_quiet(CLI::App& app, Verbosity* progress) {
  app.add_flag_callback(
      "--quiet,-q",
      [progress] {
        log::set_threshold(log::Level::error);
        if (progress) *progress = Verbosity::quiet;
      },
      "Print errors only");
}

}  // namespace visage::cli
