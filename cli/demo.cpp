#include "cli/demo.h"

#include "cli/commands.h"
#include "cli/demo_page.h"
#include "cli/options.h"
#include "cli/pseudo.h"
#include "cli/track.h"
#include "tensor/log.h"
#include "visage/annotation/rle.h"
#include "visage/config/config.h"
#include "visage/media/track_color.h"
#include "visage/pseudo/procedural.h"
#include "visage/pseudo/pseudo_video.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <ostream>
#include <utility>

namespace visage::cli {
namespace {

constexpr double kFps = 12;
constexpr double kLeastOverlap = 0.5;  // IoU from which a track is on an object

PseudoCommand pseudo_command(const DemoCommand& command, pseudo::Mode mode) {
  return {.output = command.output + "/clips",
          .videos = 1,
          .options = {.size = command.size,
                      .frames = command.frames,
                      .seed = command.seed,
                      .mode = mode,
                      .least_objects = 4,
                      .most_objects = 4,
                      .curve_frames = std::max<std::int64_t>(command.frames, 2)},
          .fps = kFps,
          .existing = command.existing};
}

TrackCommand track_command(const DemoCommand& command, const std::string& clip, const std::string& folder) {
  TrackCommand track{.source = {.path = command.output + "/clips/" + clip + "/JPEGImages/video_0000", .fps = kFps},
                     .config = command.config,
                     .weights = command.weights,
                     .output = command.output + "/tracks/" + folder,
                     .existing = command.existing,
                     .threads = command.threads,
                     .verbosity = command.verbosity,
                     .arguments = command.arguments};
  // Test weights come from no training size, and give every query about the same low score; a few of the queries show
  // that everything runs.
  if (!command.weights.test_weights.empty())
    track.overrides = {"inference.shortest_edge=" + std::to_string(std::min(command.size.width, command.size.height)),
                       "inference.min_score=0", "inference.top_k=5"};
  track.overrides.insert(track.overrides.end(), command.overrides.begin(), command.overrides.end());
  return track;
}

void paint(media::Image& image, std::size_t pixel, int id) {
  const auto color = media::track_color(id);
  std::copy(color.begin(), color.end(), image.rgb.begin() + static_cast<std::ptrdiff_t>(3 * pixel));
}

media::Image truth_image(const pseudo::PseudoFrame& frame) {
  media::Image image(frame.image.size());
  for (std::size_t p = 0; p < frame.labels.size(); ++p)
    if (frame.labels[p] > 0) paint(image, p, frame.labels[p] - 1);
  return image;
}

struct TrackMask {
  int track = 0;
  std::vector<std::uint8_t> pixels;
};

// The objects of one line of tracks.jsonl, the best first.
std::vector<TrackMask> masks_of(const nlohmann::json& line, media::Size size) {
  std::vector<TrackMask> masks;
  for (const nlohmann::json& object : line.at("objects")) {
    const auto counts = object.at("segmentation").at("counts").get<std::string>();
    masks.push_back({object.at("track").get<int>(),
                     annotation::decode_rows(annotation::rle_from_string(size.height, size.width, counts))});
  }
  return masks;
}

// The best of the tracks that cover object `label` of the frame, which is the one in front; kHidden or kLost.
int track_on(const std::vector<std::uint8_t>& labels, int label, const std::vector<TrackMask>& masks) {
  if (std::find(labels.begin(), labels.end(), label) == labels.end()) return kHidden;
  for (const TrackMask& mask : masks) {
    std::int64_t both = 0, either = 0;
    for (std::size_t p = 0; p < labels.size(); ++p) {
      const bool object = labels[p] == label, track = mask.pixels[p] != 0;
      both += object && track;
      either += object || track;
    }
    if (static_cast<double>(both) >= kLeastOverlap * static_cast<double>(either)) return mask.track;
  }
  return kLost;
}

DemoRun run(const pseudo::PseudoVideo& video, std::string title, TrackCommand command) {
  DemoRun run{.title = std::move(title), .command = std::move(command)};
  run.summary = track(run.command);
  check<Interrupted>(!run.summary.interrupted, "interrupted; the results in ", run.command.output, " cover the first ",
                     run.summary.frames, " frames");
  run.stages = stage_times();
  for (const std::string& file : run.summary.files)
    if (file.starts_with("overlay.")) run.overlay_file = run.command.output + "/" + file;
  run.ids.resize(video.objects().size());
  std::ifstream lines(run.command.output + "/tracks.jsonl");
  std::string text;
  for (std::int64_t t = 0; std::getline(lines, text); ++t) {
    const pseudo::PseudoFrame frame = video.render(t);
    const std::vector<TrackMask> masks = masks_of(nlohmann::json::parse(text), frame.image.size());
    media::Image picture(frame.image.size());
    for (auto mask = masks.rbegin(); mask != masks.rend(); ++mask)  // the best last, in front
      for (std::size_t p = 0; p < mask->pixels.size(); ++p)
        if (mask->pixels[p]) paint(picture, p, mask->track);
    run.masks.push_back(std::move(picture));
    for (std::size_t i = 0; i < run.ids.size(); ++i)
      run.ids[i].push_back(track_on(frame.labels, static_cast<int>(i) + 1, masks));
  }
  return run;
}

std::string alpha_of(const Config& config) {
  char text[24];
  std::snprintf(text, sizeof text, "%.3g", config.tracking.alpha);
  return text;
}

// Makes the clip; its runs are still to come.
std::pair<DemoClip, pseudo::PseudoVideo> make_clip(const DemoCommand& command, pseudo::Mode mode) {
  const PseudoCommand make = pseudo_command(command, mode);
  std::ostream silent(nullptr);
  run_pseudo(make, silent);
  const pseudo::ProceduralObjects objects;
  pseudo::PseudoVideo video(make.options, 0, objects, pseudo::ProceduralBackgrounds());
  DemoClip clip{.swap_frame = video.swap_frame()};
  for (const pseudo::Sprite& object : video.objects()) {
    const auto category = std::find_if(objects.categories().begin(), objects.categories().end(),
                                       [&](const auto& c) { return c.id == object.category_id; });
    clip.objects.push_back(object.identity + " " + category->name);
  }
  for (std::int64_t t = 0; t < video.frames(); ++t) {
    pseudo::PseudoFrame frame = video.render(t);
    clip.truths.push_back(truth_image(frame));
    clip.inputs.push_back(std::move(frame.image));
  }
  return {std::move(clip), std::move(video)};
}

DemoClip swap_clip(const DemoCommand& command) {
  auto [clip, video] = make_clip(command, pseudo::Mode::swap);
  const Config config = config::load_config(command.config, command.overrides, command.weights.file);
  const std::string alpha = alpha_of(config);
  clip.title = "Swap: the objects exchange their paths";
  clip.text =
      "From one frame to the next, every object continues where another one was. Position misleads; only how "
      "the objects look tells them apart. ";
  if (config.model.detector.mode == Mode::offline) {
    clip.text += "An offline model sees the frames before and after it together.";
    clip.runs.push_back(run(video, "Offline", track_command(command, "swap", "swap")));
    return std::move(clip);
  }
  clip.text += "The same detections are tracked twice: with appearance (alpha = " + alpha +
               ", the share of appearance in the similarity) and without (alpha = 0, object embeddings alone).";
  clip.runs.push_back(run(video, "With appearance, alpha = " + alpha, track_command(command, "swap", "swap")));
  TrackCommand without = track_command(command, "swap", "swap_without_appearance");
  without.overrides.emplace_back("tracking.alpha=0");
  clip.runs.push_back(run(video, "Without appearance, alpha = 0", std::move(without)));
  return std::move(clip);
}

DemoClip track_clip(const DemoCommand& command) {
  auto [clip, video] = make_clip(command, pseudo::Mode::track);
  clip.title = "Track: the objects keep their paths";
  clip.text = "Objects of equal shape cross, hide each other and leave the picture.";
  clip.runs.push_back(run(video, "Tracks", track_command(command, "track", "track")));
  return std::move(clip);
}

}  // namespace

void run_demo(const DemoCommand& command) {
  check<UsageError>(command.frames >= 6 && command.frames <= 200, "--frames must be between 6 and 200; got ",
                    command.frames);
  check_choice(command.weights);
  DemoPage page;
  page.clips.push_back(swap_clip(command));
  page.clips.push_back(track_clip(command));
  const std::string path = command.output + "/index.html";
  write_demo_page(path, page);
  for (const DemoClip& clip : page.clips)
    for (const DemoRun& run : clip.runs)
      if (command.weights.test_weights.empty())
        log::info(run.command.output, ": ", objects_kept(clip, run), " of ", clip.objects.size(),
                  " objects keep their track");
  log::info("open ", path, " in a browser");
}

void define_demo(CLI::App& program, const Strings& arguments) {
  const auto command = std::make_shared<DemoCommand>();
  DemoCommand& c = *command;
  c.arguments = arguments;
  CLI::App& app =
      add_command(program, "demo", "Make two short clips, track them and write a page about it",
                  "Without --weights the network has test weights: everything runs, but its masks are meaningless.");
  app.add_option("--output,-o", c.output, "Folder for the results")
      ->capture_default_str()
      ->type_name("DIR")
      ->group("Output");
  add_existing(app, c.existing);
  app.add_option("--frames", c.frames, "Frames of a clip")->capture_default_str()->type_name("N")->group("Input");
  add_size(app, c.size, "Size of the clips (default 480x288)")->group("Input");
  app.add_option("--seed", c.seed, "Another seed, other clips")->capture_default_str()->type_name("N")->group("Input");
  add_config(app, c.config, c.overrides);
  add_weight_file(app, c.weights);
  add_device(app, c.weights.device);
  add_config_option(app, kShortestEdge, c.overrides, "Speed");
  add_threads(app, c.threads);
  add_quiet(app, &c.verbosity);
  app.final_callback([command] {
    if (!command->weights.file.empty()) command->weights.test_weights.clear();
    run_demo(*command);
  });
}

}  // namespace visage::cli
