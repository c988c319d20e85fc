#include "cli/pseudo.h"

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/track.h"
#include "tensor/error.h"
#include "train/data/location.h"
#include "visage/pseudo/manifest.h"
#include "visage/pseudo/procedural.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <ostream>
#include <string_view>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;

// How the description in an annotation file of this command begins.
constexpr const char* kDescription = "visage pseudo: ";

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
    return last == pseudo::kAnnotationFile || last == pseudo::kManifestFile || last == pseudo::kImageFolder ||
           is_numbered(last, pseudo::kVideoPrefix, ".mp4") || is_numbered(last, pseudo::kVideoPrefix, ".gif");
  if (first != pseudo::kImageFolder || !is_numbered(std::next(file.begin())->string(), pseudo::kVideoPrefix, ""))
    return false;
  return depth == 2 || (depth == 3 && (is_numbered(last, "", ".png") || is_numbered(last, "", ".jpg")));
}

// Whether the annotations in a folder begin with this description.
bool is_described(const fs::path& folder, const std::string& description) {
  std::ifstream annotations(folder / pseudo::kAnnotationFile, std::ios::binary);
  const std::string start = "{\"info\":{\"description\":\"" + description;
  std::string found(start.size(), '\0');
  annotations.read(found.data(), static_cast<std::streamsize>(found.size()));
  return found == start;
}

// throws InputError unless everything in the folder is a set of this command, which its annotations say and its names.
void check_own(const fs::path& folder) {
  check<InputError>(is_described(folder, kDescription), "", folder.string(),
                    ": holds something else than a pseudo data set; choose another output folder");
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    const fs::path name = entry.path().lexically_relative(folder);
    check<InputError>(is_own_name(name) && !entry.is_symlink(), "", entry.path().string(),
                      ": is not part of the pseudo data set around it; move it away or choose another output folder");
  }
}

// Folder of a split, which is made or may be replaced.
fs::path find_folder(const PseudoCommand& command, const std::string& split) {
  const fs::path folder = fs::path(command.output) / split;
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

std::unique_ptr<pseudo::CocoObjects> open_coco(const PseudoCommand& command, const std::string& classes) {
  annotation::ImageDataset data = annotation::read_coco(command.coco);
  std::string root = command.images;
  if (root.empty()) {
    std::vector<std::string> names;
    for (const annotation::CocoImage& image : data.images) names.push_back(image.file_name);
    root = train::find_image_root(command.coco, names);
  }
  return std::make_unique<pseudo::CocoObjects>(std::move(data), std::move(root), classes);
}

// Where the parts of videos come from.
class Sources {
 public:
  Sources(const PseudoCommand& command, const pseudo::Manifest& set) {
    if (!set.classes.empty()) coco_ = open_coco(command, set.classes);
    if (set.pictures) pictures_ = std::make_unique<pseudo::ImageBackgrounds>(command.backgrounds);
  }

  const pseudo::ObjectSource& objects() const {
    if (coco_) return *coco_;
    return shapes_;
  }
  const pseudo::BackgroundSource& backgrounds() const {
    if (pictures_) return *pictures_;
    return textures_;
  }

  // The video that a manifest records.
  pseudo::PseudoVideo again(const pseudo::PseudoOptions& options, int64_t index,
                            const pseudo::VideoRecord& record) const {
    std::optional<pseudo::RecordedObjects> objects_there;
    std::optional<pseudo::RecordedBackgrounds> backgrounds_there;
    if (coco_) objects_there.emplace(*coco_, record);
    if (pictures_) backgrounds_there.emplace(*pictures_, record);
    pseudo::PseudoVideo video(options, index, coco_ ? *objects_there : objects(),
                              pictures_ ? *backgrounds_there : backgrounds());
    check<InputError>(pseudo::record_of(video) == record, "video ", index,
                      " of the manifest cannot be made again: other objects, another background or another swap comes "
                      "out; use the images and the version of the program that it was made with");
    return video;
  }

 private:
  std::unique_ptr<pseudo::CocoObjects> coco_;
  std::unique_ptr<pseudo::ImageBackgrounds> pictures_;
  pseudo::ProceduralObjects shapes_;
  pseudo::ProceduralBackgrounds textures_;
};

// The set that a command asks for, its videos still to be drawn or as a manifest lists them.
struct Order {
  pseudo::Manifest set;
  int64_t videos = 0;
  bool recorded = false;
};

Order order_of(const PseudoCommand& command) {
  if (!command.manifest.empty()) {
    Order order{.set = pseudo::read_manifest(command.manifest), .videos = 0, .recorded = true};
    order.videos = static_cast<int64_t>(order.set.videos.size());
    check<UsageError>(order.set.classes.empty() || !command.coco.empty(), "", command.manifest,
                      ": its objects are from COCO images; name the annotation file with --coco");
    check<UsageError>(!order.set.pictures || !command.backgrounds.empty(), "", command.manifest,
                      ": its backgrounds are images; name their folder with --backgrounds");
    return order;
  }
  check<UsageError>(command.videos >= 1 && command.videos <= 1000000,
                    "pseudo: videos must be between 1 and 1000000; got ", command.videos);
  return {.set = {.options = command.options,
                  .classes = command.coco.empty() ? "" : command.classes,
                  .pictures = !command.backgrounds.empty(),
                  .format = command.format,
                  .clip_fps = command.clips == Clips::mp4 ? std::optional(command.fps) : std::nullopt,
                  .videos = {}},
          .videos = command.videos};
}

// One set, from the first frame to its name.
void write_set(const Order& order, pseudo::Mode mode, const Sources& sources, files::TemporaryPath& place,
               const std::function<void(int64_t frames)>& progress) {
  pseudo::Manifest done = order.set;
  done.options.mode = mode;
  done.videos.clear();
  const fs::path folder = place.path();
  pseudo::DatasetWriter writer(folder.string(), kDescription + describe(done.options, order.videos),
                               sources.objects().categories(), done.clip_fps, done.format);
  for (int64_t index = 0; index < order.videos; ++index) {
    const pseudo::PseudoVideo video =
        order.recorded ? sources.again(done.options, index, order.set.videos[index])
                       : pseudo::PseudoVideo(done.options, index, sources.objects(), sources.backgrounds());
    writer.add(video, [&](int64_t frames) { progress(index * done.options.frames + frames); });
    done.videos.push_back(pseudo::record_of(video));
  }
  pseudo::write_manifest((folder / pseudo::kManifestFile).string(), done);
  writer.close();
  place.publish();
}

// The options whose values a manifest records.
std::vector<const CLI::Option*> add_recorded(CLI::App& app, PseudoCommand& c) {
  using pseudo::Mode;
  return {add_choice(app, "--format", c.format, {{"png", pseudo::FrameFormat::png}, {"jpg", pseudo::FrameFormat::jpg}},
                     "Of the frames (default png)")
              ->group("Output"),
          add_choice(app, "--clips", c.clips, {{"mp4", Clips::mp4}, {"none", Clips::none}},
                     "Also write each video as a clip")
              ->group("Output"),
          app.add_option_function<double>(
                 "--fps", [&c](double fps) { c.fps = checked_fps(fps); }, "Of the clips (default 12)")
              ->type_name("RATE")
              ->group("Output"),
          add_choice<std::string>(
              app, "--classes", c.classes,
              {{"ytvis_2019", "ytvis_2019"}, {"ytvis_2021", "ytvis_2021"}, {"ovis", "ovis"}, {"coco", "coco"}},
              "Data set whose classes the COCO objects get (default ytvis_2019)")
              ->group("Sources"),
          app.add_option("--videos", c.videos, "Number of videos")->capture_default_str()->type_name("N"),
          app.add_option("--frames", c.options.frames, "Frames a video")->capture_default_str()->type_name("N"),
          app.add_option_function<std::string>(
                 "--size",
                 [&c](const std::string& text) {
                   if (text == "upstream")
                     c.options.frame_size = pseudo::FrameSize::upstream;
                   else
                     c.options.size = parse_size(text);
                 },
                 "Frame size (default 640x360); upstream: drawn for every video as in the official generator")
              ->type_name("WxH"),
          app.add_option("--seed", c.options.seed, "Another seed, other videos")->capture_default_str()->type_name("N"),
          add_choice<std::vector<Mode>>(
              app, "--mode", c.modes,
              {{"track", {Mode::track}}, {"swap", {Mode::swap}}, {"both", {Mode::track, Mode::swap}}},
              "Objects keep their paths, or exchange them once (default swap); both: a set each of the same videos"),
          add_choice(app, "--swap-mode", c.options.swap_mode,
                     {{"derangement", pseudo::SwapMode::derangement}, {"upstream", pseudo::SwapMode::upstream}},
                     "Every object gets another path, or any permutation as in the official generator"),
          app.add_option("--least-objects", c.options.least_objects, "Objects a video")
              ->capture_default_str()
              ->type_name("N"),
          app.add_option("--most-objects", c.options.most_objects, "Objects a video")
              ->capture_default_str()
              ->type_name("N"),
          app.add_option("--curve-frames", c.options.curve_frames, "Frames of one curve; fewer are faster")
              ->capture_default_str()
              ->type_name("N")};
}

}  // namespace

bool is_made(const PseudoCommand& command) {
  const fs::path folder =
      fs::path(command.output) / (command.split.empty() ? name_of(command.options.mode) : command.split);
  return is_described(folder, kDescription + describe(command.options, command.videos) + "\"");
}

void run_pseudo(const PseudoCommand& command, std::ostream& log) {
  check<UsageError>(!command.output.empty(), "pseudo: name an output folder");
  check<UsageError>(
      fs::path(command.split).filename() == command.split && command.split != "." && command.split != "..",
      "pseudo: the split must be the name of one folder; got \"", command.split, "\"");
  const Order order = order_of(command);
  std::vector<pseudo::Mode> modes{order.set.options.mode};
  if (!order.recorded && !command.modes.empty()) modes = command.modes;
  check<UsageError>(modes.size() == 1 || command.split.empty(),
                    "pseudo: --split names one folder, and both modes make two; leave it out");
  for (const pseudo::Mode mode : modes) {
    pseudo::PseudoOptions options = order.set.options;
    options.mode = mode;
    pseudo::check_options(options);
  }
  try {
    std::vector<std::string> folders;
    for (const pseudo::Mode mode : modes)
      folders.push_back(find_folder(command, command.split.empty() ? name_of(mode) : command.split).string());
    const Sources sources(command, order.set);
    const int64_t frames = order.videos * order.set.options.frames;
    const Interrupt interrupt;
    Progress progress(frames * static_cast<int64_t>(modes.size()), command.verbosity);
    for (size_t i = 0; i < modes.size(); ++i) {
      files::TemporaryPath place(folders[i], files::Kind::folder, command.existing);
      write_set(order, modes[i], sources, place, [&](int64_t done) {
        check<Interrupted>(!interrupt.requested(), "interrupted; nothing was written to ", folders[i]);
        progress.update(static_cast<int64_t>(i) * frames + done);
      });
      log << "pseudo: wrote " << place.target() << "/" << pseudo::kAnnotationFile << std::endl;
    }
  } catch (const fs::filesystem_error& error) {
    fail<InputError>("pseudo: ", error.what());
  }
}

void define_pseudo(CLI::App& program) {
  const auto command = std::make_shared<PseudoCommand>();
  PseudoCommand& c = *command;
  c.verbosity = Verbosity::normal;
  CLI::App& app = add_command(
      program, "pseudo", "Make synthetic videos with exact masks",
      "Writes DIR/SPLIT/JPEGImages, DIR/SPLIT/instances.json (YouTube-VIS format), manifest.json and a clip of every "
      "video.\nExamples:\n"
      "  visage pseudo --output data --mode both --videos 100\n"
      "  visage pseudo --output data --coco coco/annotations/instances_train2017.json --backgrounds BG-20k/train "
      "--format jpg --clips none\n"
      "  visage pseudo --output again --manifest data/swap/manifest.json");
  app.add_option("--output,-o", c.output, "Folder for the data set")->required()->type_name("DIR")->group("Output");
  add_existing(app, c.existing);
  app.add_option("--split", c.split, "Folder in it (default: the mode)")->type_name("NAME")->group("Output");
  app.add_option("--manifest", c.manifest, "Make the set of this manifest.json again, byte by byte")
      ->type_name("FILE")
      ->group("Sources");
  app.add_option("--coco", c.coco, "COCO instances whose objects are cut out (default: procedural shapes)")
      ->type_name("FILE")
      ->group("Sources");
  app.add_option("--images", c.images, "Folder of the COCO images (default: found)")
      ->type_name("DIR")
      ->group("Sources");
  app.add_option("--backgrounds", c.backgrounds, "Folder of background images, e.g. BG-20k (default: procedural)")
      ->type_name("DIR")
      ->group("Sources");
  const std::vector<const CLI::Option*> recorded = add_recorded(app, c);
  add_quiet(app, &c.verbosity);
  app.final_callback([command, recorded] {
    for (const CLI::Option* const option : recorded)
      check<UsageError>(command->manifest.empty() || option->count() == 0,
                        "--manifest decides what is in the set; leave out ", option->get_name());
    std::ostream silent(nullptr);
    run_pseudo(*command, command->verbosity == Verbosity::quiet ? silent : std::cerr);
  });
}

}  // namespace visage::cli
