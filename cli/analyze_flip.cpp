#include "cli/analyze.h"
#include "cli/interrupt.h"
#include "cli/table.h"
#include "cli/track.h"
#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/evaluation/track_video.h"
#include "visage/experiments/mirror.h"
#include "visage/experiments/sighting.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <map>
#include <optional>
#include <ostream>
#include <set>

namespace visage::cli {
namespace {

using annotation::Rle;
using experiments::FoundAgain;
using experiments::Sighting;
using Json = nlohmann::ordered_json;
using Truth = std::vector<std::optional<Rle>>;  // a mask an object

constexpr const char* kFootnote =
    "Of the annotated objects that are found in both frames, in percent. Mirrored: the second frame is the first with "
    "left and right exchanged, as in Fig. 2 of Kim et al. (ECCV 2024). Kept: the object's track goes on with the same "
    "object; exchanged: with another one. Next frame: the second frame is the one that follows.";

// How two frames were matched with every weight of appearance.
struct Outcome {
  std::map<double, FoundAgain> mirrored, next;
};

Truth truth_at(const annotation::VideoDataset& dataset, const annotation::Video& video, std::int64_t frame) {
  Truth masks;
  for (const annotation::TrackAnnotation& track : dataset.annotations)
    if (track.video_id == video.id && !track.is_crowd) masks.push_back(track.masks[static_cast<std::size_t>(frame)]);
  return masks;
}

Truth mirrored(Truth masks) {
  for (std::optional<Rle>& mask : masks)
    if (mask) mask = experiments::mirrored(*mask);
  return masks;
}

class FlipTest {
 public:
  FlipTest(const Experiment& experiment, std::set<double> alphas)
      : experiment_(experiment), options_(experiment.options().detection()), alphas_(std::move(alphas)) {
    options_.window = 1;
  }

  // The frame against its mirror image and the next one.
  void add(const EvaluationSet& set, const annotation::Video& video, std::int64_t t, Outcome& outcome) const {
    pipeline::FrameDetector frames(experiment_.detector(), options_);
    const auto see = [&](media::Image image, const Truth& truth) {
      std::optional<Sighting> sighting;
      frames.feed({std::move(image), "", t}, [&](const media::Frame&, const pipeline::QueryFrame& queries) {
        sighting = experiments::sight(queries, truth);
      });
      return *sighting;
    };
    const media::Image image = evaluation::read_frame(video, set.images, t).image;
    const Truth truth = truth_at(set.dataset, video, t);
    const Sighting before = see(image, truth), mirror = see(experiments::mirrored(image), mirrored(truth)),
                   next =
                       see(evaluation::read_frame(video, set.images, t + 1).image, truth_at(set.dataset, video, t + 1));
    for (const double alpha : alphas_) {
      outcome.mirrored[alpha] += experiments::find_again(before, mirror, alpha);
      outcome.next[alpha] += experiments::find_again(before, next, alpha);
    }
  }

 private:
  const Experiment& experiment_;
  pipeline::DetectionOptions options_;
  std::set<double> alphas_;
};

// Frames with a next one, evenly spread.
std::vector<std::int64_t> chosen_frames(std::int64_t length, std::int64_t most) {
  std::vector<std::int64_t> frames;
  const std::int64_t count = std::min(most, length - 1);
  for (std::int64_t i = 0; i < count; ++i) frames.push_back((2 * i + 1) * (length - 1) / (2 * count));
  return frames;
}

std::vector<Outcome> measure(const FlipCommand& command, const Experiment& experiment, const std::set<double>& alphas) {
  const FlipTest test(experiment, alphas);
  const Interrupt interrupt;
  std::int64_t total = 0, done = 0;
  for (const EvaluationSet& set : experiment.sets().sets())
    for (const annotation::Video& video : set.dataset.videos)
      total += 3 * std::ssize(chosen_frames(video.length(), command.frames_each));
  Progress progress(total, command.experiment.verbosity);
  std::vector<Outcome> outcomes;
  for (const EvaluationSet& set : experiment.sets().sets()) {
    Outcome& outcome = outcomes.emplace_back();
    for (const annotation::Video& video : set.dataset.videos) {
      for (const std::int64_t t : chosen_frames(video.length(), command.frames_each)) {
        check<Interrupted>(!interrupt.requested(), "interrupted; nothing was written");
        test.add(set, video, t, outcome);
        progress.update(done += 3);
      }
    }
  }
  return outcomes;
}

Json to_json(const FoundAgain& found) {
  return {{"objects", found.objects}, {"kept", found.kept}, {"exchanged", found.exchanged}};
}

std::string row_name(double alpha) {
  char text[64];
  const char* name = alpha == 0 ? "object embedding" : alpha == 1 ? "appearance embedding" : "both";
  std::snprintf(text, sizeof text, "%s (alpha = %g)", name, alpha);
  return text;
}

// Shares of the sets of a group, a cell.
std::string share(const std::vector<const FoundAgain*>& sets, std::int64_t FoundAgain::*count) {
  std::vector<double> shares;
  for (const FoundAgain* found : sets)
    if (found->objects > 0) shares.push_back(static_cast<double>(found->*count) / static_cast<double>(found->objects));
  return shares.empty() ? "-" : percent_text(shares);
}

Table filled(const EvaluationSets& sets, const std::vector<Outcome>& outcomes, const std::set<double>& alphas) {
  Table table{.title = "Fig. 2: objects found again", .headings = {""}, .rows = {}};
  for (const std::string& group : sets.groups())
    for (const char* column : {": mirrored, kept", ": mirrored, exchanged", ": next frame, kept"})
      table.headings.push_back(group + column);
  for (const double alpha : alphas) {
    std::vector<std::string> cells = {row_name(alpha)};
    for (const std::string& group : sets.groups()) {
      std::vector<const FoundAgain*> mirrored, next;
      for (std::size_t i = 0; i < outcomes.size(); ++i) {
        if (sets.sets()[i].group != group) continue;
        mirrored.push_back(&outcomes[i].mirrored.at(alpha));
        next.push_back(&outcomes[i].next.at(alpha));
      }
      cells.push_back(share(mirrored, &FoundAgain::kept));
      cells.push_back(share(mirrored, &FoundAgain::exchanged));
      cells.push_back(share(next, &FoundAgain::kept));
    }
    table.rows.push_back(std::move(cells));
  }
  return table;
}

}  // namespace

void run_flip(const FlipCommand& command, std::ostream& out) {
  check<UsageError>(command.frames_each >= 1, "--frames-each: must be at least 1; got ", command.frames_each);
  std::unique_ptr<files::AtomicFile> json;
  if (!command.json.empty()) json = std::make_unique<files::AtomicFile>(command.json);
  std::optional<MarkdownSection> markdown;
  if (!command.markdown.empty()) markdown.emplace(command.markdown, "visage analyze flip");

  constexpr pseudo::Mode kModes[] = {pseudo::Mode::track};
  const Experiment experiment(command.experiment, kModes);
  const std::set<double> alphas = {0, experiment.config().tracking.alpha, 1};
  const std::vector<Outcome> outcomes = measure(command, experiment, alphas);
  std::int64_t objects = 0;
  for (const Outcome& outcome : outcomes)
    for (const auto& [alpha, found] : outcome.mirrored) objects += alpha == 0 ? found.objects : 0;
  check<InputError>(objects > 0,
                    "in no frame were two annotated objects found, so there is nothing to exchange; use "
                    "weights that find the objects of this data");

  const std::string measured = experiment.conditions() + " " + std::to_string(objects) + " objects in mirrored frames.";
  const Table table = filled(experiment.sets(), outcomes, alphas);
  out << measured << "\n\n";
  table.print(out);
  out << "\n" << kFootnote << "\n";
  if (markdown) markdown->write(measured + "\n\n" + kFootnote + "\n\n" + table.markdown());
  if (!json) return;
  Json sets = Json::array();
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    Json rows = Json::array();
    for (const double alpha : alphas)
      rows.push_back({{"alpha", alpha},
                      {"mirrored", to_json(outcomes[i].mirrored.at(alpha))},
                      {"next", to_json(outcomes[i].next.at(alpha))}});
    const EvaluationSet& set = experiment.sets().sets()[i];
    sets.push_back({{"folder", set.folder}, {"group", set.group}, {"results", rows}});
  }
  json->write(Json{{"measured", measured}, {"sets", sets}}.dump(2) + "\n");
  json->commit();
}

}  // namespace visage::cli
