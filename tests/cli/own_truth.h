#pragma once
#include "tests/cli/clip.h"

#include <string>
#include <vector>

namespace visage::test {

/// One list after the other.
std::vector<std::string> joined(std::vector<std::string> list, const std::vector<std::string>& more);

/// A command with the tiny model.
std::vector<std::string> with_tiny_model(const std::vector<std::string>& command);

/// Two short synthetic videos in `folder`/set/swap. Returns their folder.
std::string make_videos(const TemporaryFolder& folder);

/// The same with the ground truth that the tiny model says with alpha = 0, so that it finds its objects and its AP
/// depends on the tracker.
std::string make_own_truth(const TemporaryFolder& folder);

}  // namespace visage::test
