#pragma once
#include "tests/support/files.h"
#include "train/data/folders.h"

#include <cstdint>
#include <memory>
#include <string>

namespace visage::train {

/// A data set in YouTube-VIS format made by hand, below `folder`/JPEGImages, annotations in `folder`/instances.json:
///   video 7 "deer", 8 frames of 96x64: track 21 (category 9) is a box that moves by 4 pixels a frame, null in frames 2
///   and 5; track 22 (category 4) has polygons in frames 0 to 3 and null after; track 23 is a crowd;
///   video 3 "lake", 2 frames of 60x80: track 24 (category 4) in frame 1 only, where its box is null.
/// Category ids are 9 "zebra", 4 "bird" and 30 "cat", in this order. Pixels of track 21 are red, all others green.
void write_video_set(const test::TemporaryFolder& folder);
[[nodiscard]] std::shared_ptr<const Dataset> video_set(const test::TemporaryFolder& folder);

/// COCO instances: image 11 of 80x60 with a red rectangle (category 2) and a crowd region, image 12 of 60x80 with
/// nothing, image 5 of 90x90 with a polygon (category 7), drawn red. Annotations in `folder`/coco.json, images in
/// `folder`/images.
void write_image_set(const test::TemporaryFolder& folder);
[[nodiscard]] std::shared_ptr<const Dataset> image_set(const test::TemporaryFolder& folder);

/// Draws the masks' pixels red on green.
[[nodiscard]] media::Image painted(media::Size size, const std::vector<Mask>& masks);

/// Share of pixels whose redness says what the union of the masks says.
[[nodiscard]] double agreement(const media::Image& image, const std::vector<Mask>& masks);

}  // namespace visage::train
