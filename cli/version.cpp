#include "cli/version.h"

namespace visage::cli {

const char* const kVersion = VISAGE_VERSION;
const char* const kFeatures =
    "CPU"
#ifdef VISAGE_CUDA
    ", CUDA"
#endif
#ifdef VISAGE_FFMPEG
    ", FFmpeg";
#else
    ", no FFmpeg (no video files)";
#endif

}  // namespace visage::cli
