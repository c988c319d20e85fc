#pragma once
#include "tensor/files.h"
#include "visage/pseudo/pseudo_video.h"

#include <cstdint>
#include <iosfwd>
#include <string>

namespace visage::cli {

/// Whether each video is also written as a clip that plays.
enum class Clips { none, mp4 };

struct PseudoCommand {
  std::string output;  // folder; made when missing
  std::string split;   // folder in it; empty: the name of the mode, "track" or "swap"
  int64_t videos = 1;
  pseudo::PseudoOptions options;
  Clips clips = Clips::mp4;
  double fps = 12;  // of the clips
  files::Existing existing = files::Existing::refuse;
};

/// `visage pseudo`: writes OUTPUT/SPLIT/JPEGImages/video_0000/00000.png ..., OUTPUT/SPLIT/instances.json (YouTube-VIS
/// format) and, with clips, OUTPUT/SPLIT/video_0000.mp4 (gif where there is no encoder). OUTPUT/SPLIT appears when it
/// is complete; only then an older set of this command gives way to it. Equal commands give equal frames and
/// annotations. Progress goes to `log`. throws UsageError for impossible options, InputError when the folder cannot be
/// written or holds anything that this command did not make.
void run_pseudo(const PseudoCommand& command, std::ostream& log);

}  // namespace visage::cli
