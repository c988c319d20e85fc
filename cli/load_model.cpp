#include "cli/load_model.h"

#include "nn/init/init.h"
#include "nn/init/test_weights.h"
#include "visage/model/load_weights.h"

#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace visage::cli {

void check_choice(const WeightChoice& choice) {
  check<UsageError>(choice.file.empty() != choice.test_weights.empty(),
                    choice.file.empty()
                        ? "name the weights with --weights FILE (--test-weights public runs without trained ones)"
                        : "--weights and --test-weights exclude each other; give one of them");
  if (choice.file.empty()) return;
  const bool readable = access(choice.file.c_str(), R_OK) == 0;
  check<InputError>(readable, "cannot open ", choice.file, ": ", std::strerror(errno),
                    "; check the path of the weights");
}

std::unique_ptr<Model> load_model(const ModelConfig& config, const WeightChoice& choice,
                                  std::vector<std::string>& notes) {
  check_choice(choice);
  auto model = std::make_unique<Model>(config, use_device(choice.device));
  if (!choice.test_weights.empty()) {
    nn::fill_test_weights(model->params(), choice.test_weights);
    notes.push_back("test weights '" + choice.test_weights +
                    "': masks, classes and tracks are meaningless until trained weights are given with --weights");
    return model;
  }
  nn::LoadOptions options;
  if (choice.fit == Fit::image_checkpoint) {
    nn::initialise(model->params(), {.heads = config.detector.heads, .points = config.detector.points});
    options = nn::image_checkpoint_options();
  }
  const nn::LoadReport report = load_weights(*model, choice.file, options);
  if (!report.renamed.empty() || !report.reinitialised.empty() || !report.ignored.empty())
    notes.push_back(choice.file + ": " + report.summary());
  if (!report.reinitialised.empty())
    notes.push_back(choice.file +
                    ": what does not come from the file was initialised; classes and identities mean "
                    "nothing before training");
  return model;
}

}  // namespace visage::cli
