#include "cli/evaluation_sets.h"

#include "cli/pseudo.h"
#include "tensor/error.h"
#include "tensor/log.h"
#include "visage/evaluation/track_video.h"
#include "visage/pseudo/dataset_writer.h"
#include "visage/pseudo/procedural.h"

#include <algorithm>
#include <filesystem>
#include <ostream>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;

// "a/b/" and "a/b" are the folder b.
std::string folder_name(const std::string& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

void check_options(const SetOptions& options) {
  if (!options.data.empty()) return;
  check<UsageError>(options.seeds >= 1 && options.seeds <= 1000, "--seeds: must be 1 to 1000; got ", options.seeds);
  check<UsageError>(options.videos >= 1 && options.videos <= 1000000, "--videos: must be 1 to 1000000; got ",
                    options.videos);
  pseudo::check_options(options.pseudo);
}

}  // namespace

std::int64_t EvaluationSet::frames() const {
  std::int64_t total = 0;
  for (const annotation::Video& video : dataset.videos) total += video.length();
  return total;
}

EvaluationSets::EvaluationSets(const SetOptions& options, std::span<const pseudo::Mode> modes, int classes,
                               Verbosity verbosity) {
  check_options(options);
  for (const std::string& folder : options.data) read_set(folder, folder, classes);
  if (options.data.empty()) make_sets(options, modes, classes, verbosity);
}

void EvaluationSets::make_sets(const SetOptions& options, std::span<const pseudo::Mode> modes, int classes,
                               Verbosity verbosity) {
  const auto made_classes = std::ssize(pseudo::ProceduralObjects().categories());
  check<UsageError>(classes == made_classes, "the sets that are made have ", made_classes, " classes, the model ",
                    classes, "; name a data set that fits with --data DIR, or another --config");
  std::string root = options.keep;
  if (root.empty()) {
    temporary_ = std::make_unique<files::TemporaryPath>((fs::temp_directory_path() / "visage_sets").string(),
                                                        files::Kind::folder);
    root = temporary_->path();
  }
  std::ostream silent(nullptr);
  PseudoCommand command{
      .videos = options.videos, .options = options.pseudo, .clips = Clips::none, .verbosity = verbosity};
  for (std::int64_t i = 0; i < options.seeds; ++i) {
    command.options.seed = options.first_seed + static_cast<std::uint64_t>(i);
    const std::string seed = "seed_" + std::to_string(command.options.seed);
    command.output = (fs::path(root) / seed).string();
    for (const pseudo::Mode mode : modes) {
      command.options.mode = mode;
      const std::string name = pseudo::name_of(mode), folder = (fs::path(command.output) / name).string();
      if (!is_made(command)) {
        log::info("making ", options.videos, " videos: ", seed, "/", name);
        run_pseudo(command, silent);
      }
      read_set(folder, options.keep.empty() ? seed + "/" + name : folder, classes);
    }
  }
  const pseudo::PseudoOptions& o = options.pseudo;
  made_ = "made by visage pseudo --videos " + std::to_string(options.videos) + " --frames " + std::to_string(o.frames) +
          " --size " + std::to_string(o.size.width) + "x" + std::to_string(o.size.height) + ", seeds " +
          std::to_string(options.first_seed) + " to " + std::to_string(command.options.seed);
}

void EvaluationSets::read_set(const std::string& folder, const std::string& shown, int classes) {
  const std::string file = (fs::path(folder) / pseudo::kAnnotationFile).string();
  EvaluationSet set{.group = folder_name(folder),
                    .folder = shown,
                    .images = (fs::path(folder) / pseudo::kImageFolder).string(),
                    .dataset = annotation::read_ytvis(file),
                    .category_ids = {}};
  for (const std::string& warning : set.dataset.warnings) log::warn(warning);
  check<InputError>(!set.dataset.annotations.empty() && !set.dataset.videos.empty(), "", file,
                    ": no object is annotated, so there is nothing to score; use a set with ground truth");
  set.category_ids = evaluation::category_ids(set.dataset, file, classes);
  evaluation::check_images(set.dataset.videos, set.images);
  sets_.push_back(std::move(set));
}

std::vector<std::string> EvaluationSets::groups() const {
  std::vector<std::string> names;
  for (const EvaluationSet& set : sets_)
    if (std::ranges::find(names, set.group) == names.end()) names.push_back(set.group);
  return names;
}

std::int64_t EvaluationSets::frames() const {
  std::int64_t total = 0;
  for (const EvaluationSet& set : sets_) total += set.frames();
  return total;
}

std::string EvaluationSets::description() const {
  std::string text;
  for (const std::string& group : groups()) {
    std::int64_t sets = 0, videos = 0, frames = 0;
    for (const EvaluationSet& set : sets_) {
      if (set.group != group) continue;
      ++sets;
      videos += std::ssize(set.dataset.videos);
      frames += set.frames();
    }
    text += (text.empty() ? "" : "; ") + group + ": " + std::to_string(sets) + (sets == 1 ? " set, " : " sets, ") +
            std::to_string(videos) + " videos, " + std::to_string(frames) + " frames";
  }
  return made_.empty() ? text : text + "; " + made_;
}

}  // namespace visage::cli
