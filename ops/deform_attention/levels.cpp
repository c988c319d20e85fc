#include "ops/deform_attention/levels.h"

#include <limits>

namespace visage::ops {

std::int64_t set_levels(const char* op, std::span<const LevelShape> shapes, DeformLevel* levels) {
  check<ShapeError>(!shapes.empty() && shapes.size() <= kMaxLevels, op, ": needs 1 to ", kMaxLevels, " levels; got ",
                    shapes.size());
  std::int64_t tokens = 0;
  for (std::size_t l = 0; l < shapes.size(); ++l) {
    check<ShapeError>(shapes[l].height > 0 && shapes[l].width > 0, op, ": level ", l, " is empty");
    levels[l] = {shapes[l].height, shapes[l].width, tokens};
    tokens += shapes[l].height * shapes[l].width;
  }
  // The GPU's kernels count the tokens of an image in 32 bits.
  check<ShapeError>(tokens <= std::numeric_limits<int>::max(), op, ": the levels hold too many tokens, ", tokens);
  return tokens;
}

}  // namespace visage::ops
