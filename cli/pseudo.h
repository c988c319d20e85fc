#pragma once
#include "cli/progress.h"
#include "tensor/files.h"
#include "visage/pseudo/dataset_writer.h"
#include "visage/pseudo/pseudo_video.h"

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace visage::cli {

/// Whether each video is also written as a clip that plays.
enum class Clips { none, mp4 };

struct PseudoCommand {
  std::string output;  // folder; made when missing
  std::string split;   // folder in it; empty: the name of the mode, "track" or "swap"
  int64_t videos = 1;
  pseudo::PseudoOptions options;
  std::vector<pseudo::Mode> modes = {};  // one set of the same videos each; empty: options.mode
  // Where objects and backgrounds come from; empty: procedural.
  std::string coco, images;            // COCO instances, and the folder of their images (empty: found)
  std::string classes = "ytvis_2019";  // of pseudo::CocoObjects
  std::string backgrounds;             // folder of images
  std::string manifest;                // of a set to make again, which decides everything above but the places
  pseudo::FrameFormat format = pseudo::FrameFormat::png;
  Clips clips = Clips::mp4;
  double fps = 12;  // of the clips
  files::Existing existing = files::Existing::refuse;
  Verbosity verbosity = Verbosity::quiet;  // of the progress bar
};

/// `visage pseudo`: writes OUTPUT/SPLIT/JPEGImages/video_0000/00000.png ..., OUTPUT/SPLIT/instances.json (YouTube-VIS
/// format), manifest.json (pseudo/manifest.h) and, with clips, OUTPUT/SPLIT/video_0000.mp4 (gif where there is no
/// encoder). OUTPUT/SPLIT appears when it is complete, and not at all if Ctrl-C ends the command; only then an older
/// set of this command gives way to it. Equal commands give equal frames and annotations. What was written goes to
/// `log`. throws UsageError for impossible options, Interrupted, or InputError when images cannot be read, or the
/// folder cannot be written or holds anything that this command did not make.
void run_pseudo(const PseudoCommand& command, std::ostream& log);

/// Whether OUTPUT/SPLIT is already the procedural set of options.mode that the command makes, by its description.
[[nodiscard]] bool is_made(const PseudoCommand& command);

}  // namespace visage::cli
