#pragma once
#include "visage/annotation/rle.h"
#include "visage/pipeline/track_assembler.h"

#include <span>
#include <string>
#include <vector>

namespace visage::pipeline {

/// What a frame says in tracks.jsonl (docs/outputs.md): a JSON object in one line, without its end. `masks` are those
/// of the objects, in their order; `class_names` as for class_name().
std::string frame_line(const FrameResult& result, std::span<const annotation::Rle> masks, const std::string& name,
                       const std::vector<std::string>& class_names);

}  // namespace visage::pipeline
