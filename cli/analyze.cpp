#include "cli/analyze.h"

#include "cli/commands.h"
#include "cli/options.h"

#include <iostream>
#include <memory>

namespace visage::cli {
namespace {

void add_markdown(CLI::App& app, std::string& file) {
  app.add_option("--markdown", file, "Also write the table into a section of this file")
      ->type_name("FILE")
      ->group("Output");
}

void define_flip(CLI::App& analyze) {
  const auto command = std::make_shared<FlipCommand>();
  FlipCommand& c = *command;
  CLI::App& app =
      *analyze.add_subcommand("flip", "Are objects found again in the mirrored frame, where they have changed places?");
  app.footer("Example: visage analyze flip --weights model.safetensors --config model.toml");
  add_experiment(app, c.experiment);
  app.add_option("--frames-each", c.frames_each, "Frames to mirror of every video")
      ->capture_default_str()
      ->type_name("N")
      ->group("Input");
  app.add_option("--json", c.json, "Also write all numbers here")->type_name("FILE")->group("Output");
  add_markdown(app, c.markdown);
  app.final_callback([command] { run_flip(*command, std::cout); });
}

void define_embeddings(CLI::App& analyze) {
  const auto command = std::make_shared<EmbeddingsCommand>();
  EmbeddingsCommand& c = *command;
  c.experiment.sets.seeds = 1;
  c.experiment.sets.videos = 8;
  CLI::App& app =
      *analyze.add_subcommand("embeddings", "Draw the embeddings of objects by t-SNE, and say how far apart they are");
  app.footer(
      "Example: visage analyze embeddings --weights model.safetensors --config model.toml --html embeddings.html");
  add_experiment(app, c.experiment);
  app.add_option("--points", c.points, "Sightings of objects to take, from the first videos")
      ->capture_default_str()
      ->type_name("N")
      ->group("Input");
  app.add_option("--perplexity", c.tsne.perplexity, "Neighbours that count in t-SNE, about")
      ->capture_default_str()
      ->type_name("N")
      ->group("Picture");
  app.add_option("--seed", c.tsne.seed, "Another seed, another arrangement")
      ->capture_default_str()
      ->type_name("N")
      ->group("Picture");
  app.add_option("--html", c.html, "Draw into this page, which needs no other file")
      ->type_name("FILE")
      ->group("Output");
  app.add_option("--png", c.png, "Draw into this image")->type_name("FILE")->group("Output");
  add_markdown(app, c.markdown);
  app.final_callback([command] { run_embeddings(*command, std::cout); });
}

}  // namespace

void define_analyze(CLI::App& program) {
  CLI::App& app =
      add_command(program, "analyze", "Look into embeddings: visage analyze flip, visage analyze embeddings", "");
  app.require_subcommand(1);
  define_flip(app);
  define_embeddings(app);
}

}  // namespace visage::cli
