#include "tests/visage/model/golden_clip.h"

#include "visage/media/frame_source.h"
#include "visage/pipeline/preprocess.h"

#include <filesystem>
#include <fstream>
#include <regex>

namespace visage::test {

std::string golden_seed() {
  std::ifstream readme(golden_dir() + "/README.md");
  std::string text((std::istreambuf_iterator<char>(readme)), {});
  std::smatch match;
  if (!std::regex_search(text, match, std::regex("Seed of this set: `([^`]+)`"))) return "public";
  return match[1];
}

Tensor clip_images(const std::string& clip) {
  const auto source = media::open_source({.path = golden_dir() + "/" + clip});
  std::vector<media::Image> frames;
  while (auto frame = source->next()) frames.push_back(std::move(frame->image));
  return pipeline::network_input(frames);
}

testing::AssertionResult bits_match(const GoldenTensor& want, const Tensor& got) {
  if (got.numel() != want.full_size.numel())
    return testing::AssertionFailure() << "holds " << got.numel() << " elements, not " << want.full_size.numel();
  const std::int64_t stored = want.values.numel();
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < stored; ++i)
    wrong += (got.data<std::uint8_t>()[i * want.step] != 0) != (want.values.data<std::uint8_t>()[i] != 0);
  // One flipped element is a rounding of the last bit; more need a share below one in a million.
  if (wrong > std::max<std::int64_t>(1, stored / 1000000))
    return testing::AssertionFailure() << wrong << " of " << stored << " elements differ";
  return testing::AssertionSuccess();
}

}  // namespace visage::test
