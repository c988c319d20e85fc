#pragma once
#include <span>
#include <string>
#include <string_view>

namespace visage::train {

enum class Format { ytvis, coco };

/// The annotation file of a data set: `path` itself, or for a folder its instances.json, annotations.json, only *.json
/// file, or FOLDER.json beside it. Throws InputError that says what was looked for.
[[nodiscard]] std::string find_annotations(const std::string& path);

/// By the lists in the text: "videos" is YouTube-VIS, otherwise "images" or "image_id" is COCO.
[[nodiscard]] Format guess_format(std::string_view json);

/// The folder that file names of the annotation file are relative to: the first of the layouts in docs/data.md in which
/// one of `files` exists. Throws InputError that lists them.
[[nodiscard]] std::string find_image_root(const std::string& annotations, std::span<const std::string> files);

}  // namespace visage::train
