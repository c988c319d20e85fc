#include "cli/exchange.h"

#include "cli/classes.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "visage/annotation/exchange.h"
#include "visage/media/frame_source.h"

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <ostream>

namespace visage::cli {
namespace {

using annotation::VideoTracks;

std::int64_t chosen_video(const ExportCommand& command, const annotation::VideoDataset& dataset) {
  if (command.video_id) return *command.video_id;
  check<UsageError>(dataset.videos.size() == 1, "there are ", dataset.videos.size(),
                    " videos; choose one with --video-id");
  return dataset.videos[0].id;
}

// Results are a list, which says neither classes nor frames.
bool holds_list(const std::string& path) {
  std::ifstream stream(path);
  char first = 0;
  return stream >> first && first == '[';
}

VideoTracks read_input(const ExportCommand& command) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(command.results, error);
  if (folder || !command.results.ends_with(".json")) {
    check<UsageError>(command.annotations.empty() && !command.video_id,
                      "tracks.jsonl is of one video and needs no --annotations and no --video-id");
    return annotation::read_tracks(folder ? command.results + "/tracks.jsonl" : command.results);
  }
  const bool results = holds_list(command.results);
  check<UsageError>(results == !command.annotations.empty(), "", command.results,
                    results ? ": holds results; name the data set they are of with --annotations, or export the "
                              "tracks.jsonl beside it"
                            : ": holds no results; leave out --annotations to export the annotations in it");
  const auto dataset = annotation::read_ytvis(results ? command.annotations : command.results);
  const std::int64_t video = chosen_video(command, dataset);
  if (!results) return annotation::tracks_of(dataset, video);
  return annotation::tracks_of(dataset, annotation::read_results(command.results, dataset), video);
}

void print_counts(std::ostream& out, const std::string& path, const VideoTracks& tracks) {
  std::int64_t sightings = 0;
  for (const annotation::ObjectTrack& track : tracks.tracks)
    for (const auto& sighting : track.frames) sightings += sighting.has_value();
  out << path << ": " << tracks.tracks.size() << " tracks, " << tracks.video.length() << " frames, " << sightings
      << " objects in them\n";
}

annotation::KnownFrames read_frames(const std::string& path) {
  if (path.empty()) return {};
  const auto source = media::open_source({.path = path});
  annotation::Video video{
      .id = 1, .height = source->info().size.height, .width = source->info().size.width, .file_names = {}};
  while (const std::optional<media::Frame> frame = source->next()) video.file_names.push_back(frame->name);
  return video;
}

void add_format(CLI::App& app, std::optional<TrackFormat>& format) {
  add_choice(app, "--format", format,
             {{"mot", TrackFormat::mot},
              {"coco", TrackFormat::coco},
              {"labelme", TrackFormat::labelme},
              {"cvat", TrackFormat::cvat}},
             "MOT Challenge (boxes only), COCO instances with track ids, LabelMe, or CVAT for video 1.1")
      ->required();
}

}  // namespace

void run_export(const ExportCommand& command, std::ostream& out) {
  check<UsageError>(command.min_score >= 0 && command.min_score <= 1, "--min-score must be 0 to 1; got ",
                    command.min_score);
  check<UsageError>(command.tolerance >= 0, "--simplify must be 0 or more pixels; got ", command.tolerance);
  VideoTracks tracks = read_input(command);
  annotation::select(tracks, chosen_classes(command.classes, tracks.categories), command.min_score);
  switch (*command.format) {
    case TrackFormat::mot: annotation::write_mot(command.output, tracks); break;
    case TrackFormat::coco: annotation::write_coco(command.output, tracks); break;
    case TrackFormat::labelme: annotation::write_labelme(command.output, tracks, command.tolerance); break;
    case TrackFormat::cvat: annotation::write_cvat(command.output, tracks, command.tolerance); break;
  }
  print_counts(out, command.output, tracks);
}

void run_import(const ImportCommand& command, std::ostream& out) {
  check<UsageError>(command.format != TrackFormat::coco || command.frames.empty(),
                    "COCO files name their frames; leave out --frames");
  check<InputError>(!std::filesystem::exists(command.output), "", command.output,
                    ": is there already; choose another name");
  const annotation::KnownFrames frames = read_frames(command.frames);
  const VideoTracks tracks = [&] {
    switch (*command.format) {
      case TrackFormat::mot: return annotation::read_mot(command.input, frames);
      case TrackFormat::coco: return annotation::read_coco_tracks(command.input);
      case TrackFormat::labelme: return annotation::read_labelme(command.input, frames);
      default: return annotation::read_cvat(command.input, frames);
    }
  }();
  annotation::write_ytvis(command.output, tracks);
  print_counts(out, command.output, tracks);
}

void define_export(CLI::App& program) {
  const auto command = std::make_shared<ExportCommand>();
  ExportCommand& c = *command;
  CLI::App& app = add_command(program, "export", "Write tracks in the format of a labelling tool or a benchmark",
                              "What each format cannot carry: docs/exports.md.\n"
                              "Examples:\n"
                              "  visage export out --format cvat --simplify 1 --output tracks.xml\n"
                              "  visage export results.json --annotations valid.json --video-id 7 --min-score 0.3 "
                              "--format mot --output mot/video7");
  app.add_option("RESULTS", c.results,
                 "Folder that visage track wrote, a tracks.jsonl, a results.json or a YouTube-VIS annotation file")
      ->required();
  add_format(app, c.format);
  app.add_option("--output,-o", c.output, "New file (coco, cvat) or folder (mot, labelme)")
      ->required()
      ->type_name("PATH");
  app.add_option("--annotations", c.annotations, "Data set that a results.json is of")->type_name("FILE");
  app.add_option("--video-id", c.video_id, "Which video, where there are several")->type_name("ID");
  app.add_option("--classes", c.classes, "Only tracks of these classes: names or ids, separated by commas")
      ->type_name("LIST");
  app.add_option("--min-score", c.min_score, "Leave out objects with a lower score")->type_name("0..1");
  app.add_option("--simplify", c.tolerance,
                 "Leave out corners of polygons within so many pixels (default: 0, polygons give back the exact mask)")
      ->type_name("PIXELS");
  app.final_callback([command] { run_export(*command, std::cout); });
}

void define_import(CLI::App& program) {
  const auto command = std::make_shared<ImportCommand>();
  ImportCommand& c = *command;
  CLI::App& app = add_command(program, "import", "Make a YouTube-VIS annotation file from tracks of a labelling tool",
                              "Example:\n"
                              "  visage import corrected.xml --format cvat --frames clip --output clip.json\n"
                              "  visage data check clip.json --images clip");
  app.add_option("INPUT", c.input, "File (coco, cvat, mot) or folder (labelme, mot)")->required();
  add_format(app, c.format);
  app.add_option("--frames", c.frames, "The frames, for their names and size: what visage track read")
      ->type_name("INPUT");
  app.add_option("--output,-o", c.output, "New annotation file")->required()->type_name("FILE");
  app.final_callback([command] { run_import(*command, std::cout); });
}

}  // namespace visage::cli
