#pragma once
#include "visage/annotation/video_tracks.h"

#include <optional>
#include <string>

// Tracks of one video in the formats of labelling tools and benchmarks, there and back. What each cannot carry is in
// docs/exports.md. Files and folders appear under their name when they are complete; one that is there already is
// refused. Writers throw InputError when writing fails; readers throw InputError naming file, record and rule for what
// is not their format, and polygons are rasterised by COCO's rule (visage/annotation/polygon.h).
namespace visage::annotation {

/// Frames of the video as known from elsewhere, for formats that do not say their names or their size.
using KnownFrames = std::optional<Video>;

/// MOT Challenge: the folder `path` with gt/gt.txt, a line "frame, id, left, top, width, height, score, class,
/// visibility" for every box, frames and classes from 1, pixels from 0; gt/labels.txt, the name of class n in line n;
/// and seqinfo.ini. No masks.
void write_mot(const std::string& path, const VideoTracks& tracks);
/// Reads such a folder or a lone text file, with or without the last columns. The length and the size of the video are
/// those of `frames` or seqinfo.ini.
[[nodiscard]] VideoTracks read_mot(const std::string& path, const KnownFrames& frames);

/// COCO instances: an image a frame, masks as compressed run lengths, and for every annotation its "track_id" and
/// "score".
void write_coco(const std::string& path, const VideoTracks& tracks);
/// Reads COCO instances, images in their order as frames. "track_id" stands in the annotation or in its "attributes".
[[nodiscard]] VideoTracks read_coco_tracks(const std::string& path);

/// LabelMe: the folder `path` with a JSON file an image, a polygon for every part of a mask, tied by "group_id" to its
/// track. Corners within `tolerance` pixels are left out (visage/annotation/contour.h).
void write_labelme(const std::string& path, const VideoTracks& tracks, double tolerance);
/// Reads such a folder: polygons and rectangles, which become masks. Without `frames`, frames are the images that have
/// a file, in natural order of their names.
[[nodiscard]] VideoTracks read_labelme(const std::string& path, const KnownFrames& frames);

/// CVAT for video 1.1: an XML file with a track an object and one polygon a frame.
void write_cvat(const std::string& path, const VideoTracks& tracks, double tolerance);
/// Reads polygons, masks and boxes of tracks; boxes become masks, too. Without `frames` their names are those that
/// frames of a video file have.
[[nodiscard]] VideoTracks read_cvat(const std::string& path, const KnownFrames& frames);

}  // namespace visage::annotation
