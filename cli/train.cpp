#include "cli/train.h"

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"

#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <ostream>
#include <sys/ioctl.h>
#include <unistd.h>

namespace visage::cli {
namespace {

constexpr double kLiveInterval = 0.2;  // seconds

// Sums over steps, of which the log shows means.
struct Steps {
  std::int64_t count = 0, images = 0;
  double seconds = 0, waited = 0, loss = 0;

  void add(const train::StepReport& step) {
    ++count;
    images += step.images;
    seconds += step.seconds;
    waited += step.data_seconds;
    loss += step.total;
  }
};

std::string percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", 100 * fraction);
  return fraction < 0 ? "-" : text;
}

std::string terms_of(const train::StepReport& step) {
  std::string text;
  for (const auto& [name, value] : step.terms) {
    char term[80];
    std::snprintf(term, sizeof term, "  %s %.3f", name.substr(name.find('_') + 1).c_str(), value);
    text += term;
  }
  return text;
}

class Console final : public train::RunObserver {
 public:
  Console(const TrainConfig& recipe, Verbosity verbosity, std::ostream& log)
      : recipe_(recipe),
        log_(log),
        shown_(verbosity == Verbosity::normal),
        terminal_(shown_ && isatty(STDERR_FILENO) == 1) {}
  ~Console() override { clear(); }

  void note(const std::string& text) override { print(text); }

  void stepped(const train::StepReport& step) override {
    recent_.add(step);
    const std::int64_t done = step.step + 1;
    const bool listed = done % recipe_.log_every == 0 || done == recipe_.steps;
    if (listed) print(line_of(step) + terms_of(step));
    if (!listed || recent_.count == 1) live(line_of(step) + terms_of(step));
    if (listed) recent_ = {};
  }

  void evaluating(const std::string& set, std::int64_t done, std::int64_t frames) override {
    live("evaluating on " + set + ": frame " + std::to_string(done) + "/" + std::to_string(frames));
  }

  void evaluated(const train::EvaluationReport& evaluation) override {
    for (const train::EvaluationScore& s : evaluation.scores)
      print("evaluation after step " + std::to_string(evaluation.steps) + ", " + s.set + ": AP " + percent(s.ap) +
            "  AP50 " + percent(s.ap50) + "  AP75 " + percent(s.ap75) + "  AR1 " + percent(s.ar1) + "  AR10 " +
            percent(s.ar10) + "  HOTA " + percent(s.hota) + "  IDF1 " + percent(s.idf1) + "  ID switches " +
            std::to_string(s.id_switches));
  }

  bool stop_requested() const override { return interrupt_.requested(); }

 private:
  std::string line_of(const train::StepReport& step) const {
    const auto count = static_cast<double>(recent_.count);
    const std::int64_t done = step.step + 1;
    const auto left = static_cast<long long>(recent_.seconds / count * static_cast<double>(recipe_.steps - done));
    char line[200];
    std::snprintf(line, sizeof line,
                  "step %lld/%d  loss %.3f  lr %.2e  %.2f images/s  data wait %.1f %%  %lld:%02lld:%02lld left",
                  static_cast<long long>(done), recipe_.steps, recent_.loss / count, step.learning_rate,
                  static_cast<double>(recent_.images) / recent_.seconds, 100 * recent_.waited / recent_.seconds,
                  left / 3600, left / 60 % 60, left % 60);
    return line;
  }

  void print(const std::string& line) {
    if (!shown_) return;
    clear();
    log_ << line << std::endl;
  }

  // Cut to the width of the terminal: a line that wraps could not be taken back.
  void live(std::string line) {
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ || std::chrono::duration<double>(now - last_live_).count() < kLiveInterval) return;
    last_live_ = now;
    winsize size{};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    line.resize(std::min<std::size_t>(line.size(), known ? size.ws_col - 1 : 79));
    std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
    is_live_ = true;
  }

  void clear() {
    if (is_live_) std::fputs("\r\x1b[K", stderr);
    is_live_ = false;
  }

  const TrainConfig& recipe_;
  std::ostream& log_;
  const bool shown_, terminal_;
  bool is_live_ = false;
  std::chrono::steady_clock::time_point last_live_;
  Steps recent_;  // since the last printed line
  const Interrupt interrupt_;
};

}  // namespace

void run_train(const TrainCommand& command, std::ostream& log) {
  train::RunOptions run = command.run;
  const bool earlier = command.config.empty() && run.start == train::RunOptions::Start::resume;
  run.config = config::load_config(earlier ? run.folder + "/config.toml" : command.config, command.overrides);
  train::World world(command.world);
  run.device = world.use_device(command.device);
  Console console(run.config.train, world.is_first() ? command.verbosity : Verbosity::quiet, log);
  train::run(run, world, console);
}

void define_train(CLI::App& program) {
  const auto command = std::make_shared<TrainCommand>();
  TrainCommand& c = *command;
  CLI::App& app = add_command(program, "train", "Train a model",
                              "Examples:\n"
                              "  visage train --config configs/synthetic_small.toml --output runs/small\n"
                              "  visage train --output runs/small --resume\n"
                              "  visage train --output runs/small --resume --set train.steps=20000");
  add_config(app, c.config, c.overrides, ConfigDefault::builtin);
  add_config_option(app, kMode, c.overrides, "Configuration");
  app.add_option("-o,--output", c.run.folder,
                 "Folder of the run: metrics.jsonl, checkpoints, report.html, model.safetensors")
      ->required()
      ->type_name("DIR");
  app.add_option("--init", c.run.init_weights, "Weights to start from; what they lack is initialised")
      ->type_name("FILE");
  app.add_flag_callback(
      "--resume", [&c] { c.run.start = train::RunOptions::Start::resume; },
      "Continue from the newest checkpoint of the folder (--config: default is the one it was started with)");
  add_device(app, c.device);
  app.add_option("--rank", c.world.rank, "Number of this process, from 0, where no mpirun or srun starts them")
      ->type_name("N")
      ->group("Several processes");
  app.add_option("--world-size", c.world.size, "Number of processes")->type_name("N")->group("Several processes");
  app.add_option("--rendezvous", c.world.rendezvous, "Where they meet: a free port of the machine of process 0")
      ->type_name("HOST:PORT")
      ->group("Several processes");
  add_quiet(app, &c.verbosity);
  app.final_callback([command] { run_train(*command, std::cerr); });
}

}  // namespace visage::cli
