#include "visage/media/resize.h"

#include "ops/preprocess/antialias.h"
#include "tensor/error.h"

#include <algorithm>

namespace visage::media {
Size resized_size(Size in, int shortest, int longest) {
  check<UsageError>(shortest >= 1 && longest >= 1, "resized_size: edges must be at least 1 pixel; got shortest ",
                    shortest, ", longest ", longest);
  check<InputError>(in.width >= 1 && in.height >= 1, "resized_size: empty image; got ", in.width, "x", in.height);
  const double scale = static_cast<double>(shortest) / std::min(in.width, in.height);
  double width = in.height < in.width ? scale * in.width : shortest;
  double height = in.height < in.width ? shortest : scale * in.height;
  if (std::max(width, height) > longest) {
    const double shrink = static_cast<double>(longest) / std::max(width, height);
    width *= shrink;
    height *= shrink;
  }
  return {std::max(static_cast<int>(width + 0.5), 1), std::max(static_cast<int>(height + 0.5), 1)};
}

Image resize(const Image& image, Size out) {
  check<UsageError>(out.width >= 1 && out.height >= 1, "resize: output must be at least 1x1; got ", out.width, "x",
                    out.height);
  check<InputError>(image.width >= 1 && image.height >= 1, "resize: empty image");
  Image resized(out);
  ops::resize_antialiased(image.rgb.data(), {image.height, image.width}, resized.rgb.data(), {out.height, out.width});
  return resized;
}

}  // namespace visage::media
