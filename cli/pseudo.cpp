#include "cli/pseudo.h"

#include "tensor/error.h"
#include "visage/annotation/ytvis_writer.h"
#include "visage/media/png.h"
#include "visage/media/video_writer.h"
#include "visage/pseudo/procedural.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <ostream>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kImages = "JPEGImages";
constexpr const char* kAnnotations = "instances.json";

std::string numbered(const char* format, int64_t number) {
  char text[48];
  std::snprintf(text, sizeof text, format, static_cast<long long>(number));
  return text;
}

const char* name_of(pseudo::Mode mode) { return mode == pseudo::Mode::swap ? "swap" : "track"; }

// How to make the set again, for "info" of the annotation file.
std::string description_of(const PseudoCommand& command) {
  const pseudo::PseudoOptions& o = command.options;
  const bool upstream = o.swap_mode == pseudo::SwapMode::upstream;
  return std::string("visage pseudo: mode ") + name_of(o.mode) + ", swap mode " +
         (upstream ? "upstream" : "derangement") + ", seed " + std::to_string(o.seed) + ", videos " +
         std::to_string(command.videos) + ", frames " + std::to_string(o.frames) + ", size " +
         std::to_string(o.size.width) + "x" + std::to_string(o.size.height) + ", objects " +
         std::to_string(o.least_objects) + "-" + std::to_string(o.most_objects) + ", curve frames " +
         std::to_string(o.curve_frames);
}

// Makes the folder of the split. Only what this command writes is ever removed.
fs::path prepare_folder(const PseudoCommand& command) {
  check<UsageError>(fs::path(command.split).filename() == command.split && command.split != "..",
                    "pseudo: the split must be the name of one folder; got \"", command.split, "\"");
  const fs::path folder =
      fs::path(command.output) / (command.split.empty() ? name_of(command.options.mode) : command.split);
  std::error_code error;
  fs::create_directories(folder, error);
  check<InputError>(!error && fs::is_directory(folder), "", folder.string(), ": cannot be made (", error.message(),
                    "); choose another output folder");
  if (fs::is_empty(folder)) return folder;
  check<InputError>(command.overwrite == Overwrite::replace, "", folder.string(),
                    ": is not empty; pass --overwrite to replace the set in it, or choose another output folder");
  check<InputError>(fs::exists(folder / kImages), "", folder.string(),
                    ": holds something else than a pseudo data set; choose another output folder");
  fs::remove(folder / kAnnotations);
  fs::remove_all(folder / kImages);
  for (int64_t index = 0;; ++index) {
    const std::string stem = numbered("video_%04lld", index);
    const bool mp4 = fs::remove(folder / (stem + ".mp4")), gif = fs::remove(folder / (stem + ".gif"));
    if (!mp4 && !gif) break;
  }
  return folder;
}

// One video on disk: frames as PNG, the clip, and the annotations of its objects.
class VideoExport {
 public:
  VideoExport(const PseudoCommand& command, const fs::path& folder, int64_t index, const pseudo::PseudoVideo& video)
      : video_(video), name_(numbered("video_%04lld", index)), folder_(folder) {
    fs::create_directories(folder / kImages / name_);
    if (command.clips == Clips::mp4) {
      clip_ = media::open_video_writer((folder / name_).string(), {.size = command.options.size, .fps = command.fps});
    }
    entry_ = {
        .id = index + 1, .height = command.options.size.height, .width = command.options.size.width, .file_names = {}};
    tracks_.resize(video.objects().size());
  }

  void write_frames() {
    for (int64_t t = 0; t < video_.frames(); ++t) {
      const pseudo::PseudoFrame frame = video_.render(t);
      const std::string file = name_ + "/" + numbered("%05lld.png", t);
      media::write_png((folder_ / kImages / file).string(), frame.image);
      if (clip_) clip_->add(frame.image);
      entry_.file_names.push_back(file);
      for (size_t i = 0; i < tracks_.size(); ++i) add_mask(tracks_[i], video_.mask(frame, static_cast<int64_t>(i)));
    }
    if (clip_) clip_->close();
  }

  void annotate(annotation::YtvisWriter& writer, int64_t& next_id) && {
    for (size_t i = 0; i < tracks_.size(); ++i) {
      tracks_[i].id = next_id++;
      tracks_[i].video_id = entry_.id;
      tracks_[i].category_id = video_.objects()[i].category_id;
      writer.add_annotation(tracks_[i]);
    }
    writer.add_video(std::move(entry_));
  }

 private:
  static void add_mask(annotation::TrackAnnotation& track, std::optional<annotation::Rle> mask) {
    track.areas.push_back(mask ? std::optional(static_cast<double>(area(*mask))) : std::nullopt);
    track.boxes.push_back(mask ? std::optional(bounding_box(*mask)) : std::nullopt);
    track.masks.push_back(std::move(mask));
  }

  const pseudo::PseudoVideo& video_;
  std::string name_;
  fs::path folder_;
  std::unique_ptr<media::VideoWriter> clip_;
  annotation::Video entry_;
  std::vector<annotation::TrackAnnotation> tracks_;
};

void describe(const pseudo::PseudoVideo& video, int64_t index, int64_t videos, std::ostream& log) {
  log << "pseudo: video " << index + 1 << "/" << videos << ": ";
  for (size_t i = 0; i < video.objects().size(); ++i) log << (i ? ", " : "") << video.objects()[i].identity;
  if (video.swap_frame()) log << "; swap at frame " << *video.swap_frame();
  log << std::endl;
}

}  // namespace

void run_pseudo(const PseudoCommand& command, std::ostream& log) {
  pseudo::check_options(command.options);
  check<UsageError>(command.videos >= 1 && command.videos <= 1000000,
                    "pseudo: videos must be between 1 and 1000000; got ", command.videos);
  check<UsageError>(!command.output.empty(), "pseudo: name an output folder");
  const pseudo::ProceduralObjects objects;
  const pseudo::ProceduralBackgrounds backgrounds;
  try {
    const fs::path folder = prepare_folder(command);
    annotation::YtvisWriter writer((folder / kAnnotations).string(), description_of(command), objects.categories());
    int64_t next_id = 1;
    for (int64_t index = 0; index < command.videos; ++index) {
      const pseudo::PseudoVideo video(command.options, index, objects, backgrounds);
      describe(video, index, command.videos, log);
      VideoExport output(command, folder, index, video);
      output.write_frames();
      std::move(output).annotate(writer, next_id);
    }
    writer.close();
    log << "pseudo: wrote " << (folder / kAnnotations).string() << std::endl;
  } catch (const fs::filesystem_error& error) {
    fail<InputError>("pseudo: ", error.what());
  }
}

}  // namespace visage::cli
