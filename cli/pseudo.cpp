#include "cli/pseudo.h"

#include "tensor/error.h"
#include "visage/annotation/ytvis_writer.h"
#include "visage/media/png.h"
#include "visage/media/video_writer.h"
#include "visage/pseudo/procedural.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <ostream>
#include <string_view>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kImages = "JPEGImages";
constexpr const char* kAnnotations = "instances.json";
constexpr const char* kVideo = "video_";
// How the description in an annotation file of this command begins.
constexpr const char* kDescription = "visage pseudo: ";

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
  return std::string(kDescription) + "mode " + name_of(o.mode) + ", swap mode " +
         (upstream ? "upstream" : "derangement") + ", seed " + std::to_string(o.seed) + ", videos " +
         std::to_string(command.videos) + ", frames " + std::to_string(o.frames) + ", size " +
         std::to_string(o.size.width) + "x" + std::to_string(o.size.height) + ", objects " +
         std::to_string(o.least_objects) + "-" + std::to_string(o.most_objects) + ", curve frames " +
         std::to_string(o.curve_frames);
}

// Whether a name is `start` and digits, with `end` after them.
bool is_numbered(const std::string& name, std::string_view start, std::string_view end) {
  if (name.size() <= start.size() + end.size() || !name.starts_with(start) || !name.ends_with(end)) return false;
  const std::string_view digits = std::string_view(name).substr(start.size(), name.size() - start.size() - end.size());
  return digits.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_own_name(const fs::path& file) {
  const std::string first = file.begin()->string(), last = file.filename().string();
  const auto depth = std::distance(file.begin(), file.end());
  if (depth == 1)
    return last == kAnnotations || last == kImages || is_numbered(last, kVideo, ".mp4") ||
           is_numbered(last, kVideo, ".gif");
  if (first != kImages || !is_numbered(std::next(file.begin())->string(), kVideo, "")) return false;
  return depth == 2 || (depth == 3 && is_numbered(last, "", ".png"));
}

// throws InputError unless everything in the folder is a set of this command, which its annotations say and its names.
void check_own(const fs::path& folder) {
  std::ifstream annotations(folder / kAnnotations, std::ios::binary);
  const std::string start = std::string("{\"info\":{\"description\":\"") + kDescription;
  std::string found(start.size(), '\0');
  annotations.read(found.data(), static_cast<std::streamsize>(found.size()));
  check<InputError>(found == start, "", folder.string(),
                    ": holds something else than a pseudo data set; choose another output folder");
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    const fs::path name = entry.path().lexically_relative(folder);
    check<InputError>(is_own_name(name) && !entry.is_symlink(), "", entry.path().string(),
                      ": is not part of the pseudo data set around it; move it away or choose another output folder");
  }
}

// Folder of the split, which is made or may be replaced.
fs::path find_folder(const PseudoCommand& command) {
  check<UsageError>(
      fs::path(command.split).filename() == command.split && command.split != "." && command.split != "..",
      "pseudo: the split must be the name of one folder; got \"", command.split, "\"");
  const fs::path folder =
      fs::path(command.output) / (command.split.empty() ? name_of(command.options.mode) : command.split);
  std::error_code error;
  fs::create_directories(command.output, error);
  check<InputError>(!error, "", folder.string(), ": cannot be made (", error.message(),
                    "); choose another output folder");
  if (!fs::is_directory(folder) || fs::is_empty(folder)) return folder;
  check<InputError>(command.existing == files::Existing::replace, "", folder.string(),
                    ": is not empty; pass --overwrite to replace the set in it, or choose another output folder");
  check_own(folder);
  return folder;
}

// One video on disk: frames as PNG, the clip, and the annotations of its objects.
class VideoExport {
 public:
  VideoExport(const PseudoCommand& command, const fs::path& folder, int64_t index, const pseudo::PseudoVideo& video)
      : video_(video), name_(kVideo + numbered("%04lld", index)), folder_(folder) {
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
      files::write_file((folder_ / kImages / file).string(), media::encode_png(frame.image));
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
    files::TemporaryPath place(find_folder(command).string(), files::Kind::folder, command.existing);
    const fs::path folder = place.path();
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
    place.publish();
    log << "pseudo: wrote " << place.target() << "/" << kAnnotations << std::endl;
  } catch (const fs::filesystem_error& error) {
    fail<InputError>("pseudo: ", error.what());
  }
}

}  // namespace visage::cli
