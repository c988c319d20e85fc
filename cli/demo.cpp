#include "cli/demo.h"

#include "cli/demo_page.h"
#include "cli/pseudo.h"
#include "cli/track.h"
#include "tensor/log.h"
#include "visage/annotation/rle.h"
#include "visage/media/image_file.h"
#include "visage/media/overlay.h"
#include "visage/media/track_color.h"
#include "visage/pseudo/procedural.h"
#include "visage/pseudo/pseudo_video.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <map>
#include <ostream>

namespace visage::cli {
namespace {

constexpr double kFps = 6;

PseudoCommand pseudo_command(const DemoCommand& command) {
  return {.output = command.output,
          .split = "input",
          .videos = 1,
          .options = {.size = command.size,
                      .frames = command.frames,
                      .seed = command.seed,
                      .mode = pseudo::Mode::swap,
                      .least_objects = 3,
                      .most_objects = 4,
                      .curve_frames = std::max<std::int64_t>(command.frames, 2)},
          .fps = kFps,
          .existing = command.existing};
}

TrackCommand track_command(const DemoCommand& command) {
  TrackCommand track{.source = {.path = command.output + "/input/JPEGImages/video_0000", .fps = kFps},
                     .config = command.config,
                     .weights = command.weights,
                     .output = command.output + "/result",
                     .existing = command.existing,
                     .threads = command.threads,
                     .verbosity = command.verbosity,
                     .arguments = command.arguments};
  track.overrides = {"inference.shortest_edge=" + std::to_string(std::min(command.size.width, command.size.height))};
  // Test weights give every query about the same low score; a few of them show that everything runs.
  if (!command.weights.test_weights.empty()) {
    track.overrides.push_back("inference.min_score=0");
    track.overrides.push_back("inference.top_k=5");
  }
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

// Draws one line of tracks.jsonl and adds its objects to `tracks`.
void draw_tracks(const nlohmann::json& line, DemoFrame& frame, std::map<int, DemoTrack>& tracks) {
  frame.masks = media::Image(frame.input.size());
  frame.overlay = frame.input;
  const nlohmann::json& objects = line.at("objects");
  std::vector<std::vector<std::uint8_t>> masks(objects.size());
  std::vector<media::OverlayTrack> drawn(objects.size());
  for (std::size_t i = objects.size(); i-- > 0;) {  // the best last, in front
    const nlohmann::json& object = objects[i];
    const int track = object.at("track").get<int>();
    const auto score = object.at("score").get<double>();
    const auto label = object.at("label").get<std::string>();
    const nlohmann::json& segmentation = object.at("segmentation");
    masks[i] = annotation::decode_rows(annotation::rle_from_string(frame.input.height, frame.input.width,
                                                                   segmentation.at("counts").get<std::string>()));
    for (std::size_t p = 0; p < masks[i].size(); ++p)
      if (masks[i][p]) paint(frame.masks, p, track);
    drawn[i] = {.id = track, .label = label, .score = static_cast<float>(score), .mask = masks[i]};
    DemoTrack& seen = tracks[track];
    if (seen.frames++ == 0 || score > seen.score) seen = {track, label, score, seen.frames};
  }
  media::draw_overlay(frame.overlay, drawn);
}

}  // namespace

void run_demo(const DemoCommand& command) {
  const PseudoCommand make = pseudo_command(command);
  check<UsageError>(command.frames <= 200, "--frames: the page shows every frame; use at most 200");
  check_choice(command.weights);
  std::ostream silent(nullptr);
  run_pseudo(make, silent);
  DemoPage page{.command = track_command(command)};
  page.summary = track(page.command);
  check<Interrupted>(!page.summary.interrupted, "interrupted; the results in ", page.command.output,
                     " cover the first ", page.summary.frames, " frames");

  const pseudo::PseudoVideo video(make.options, 0, pseudo::ProceduralObjects(), pseudo::ProceduralBackgrounds());
  for (const pseudo::Sprite& object : video.objects()) page.objects.push_back(object.identity);
  page.swap_frame = video.swap_frame();
  std::ifstream lines(page.command.output + "/tracks.jsonl");
  std::map<int, DemoTrack> tracks;
  std::string text;
  for (std::int64_t t = 0; std::getline(lines, text); ++t) {
    pseudo::PseudoFrame drawn = video.render(t);
    DemoFrame frame{.truth = truth_image(drawn)};
    frame.input = std::move(drawn.image);
    draw_tracks(nlohmann::json::parse(text), frame, tracks);
    page.frames.push_back(std::move(frame));
  }
  for (const auto& [id, track] : tracks) page.tracks.push_back(track);
  std::sort(page.tracks.begin(), page.tracks.end(),
            [](const DemoTrack& a, const DemoTrack& b) { return a.score > b.score; });
  for (const std::string& file : page.summary.files)
    if (file.starts_with("overlay.")) page.overlay_file = page.command.output + "/" + file;
  const std::string path = command.output + "/index.html";
  write_demo_page(path, page);
  log::info("open ", path, " in a browser; the tracked clip is ", page.overlay_file);
}

}  // namespace visage::cli
