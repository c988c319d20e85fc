#include "tensor/error.h"
#include "visage/annotation/coco.h"
#include "visage/annotation/results.h"
#include "visage/annotation/ytvis.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

constexpr const char* kTruth = R"({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], "videos": [
  {"id": 1, "height": 8, "width": 10, "length": 3, "file_names": ["a", "b", "c"]},
  {"id": 2, "height": 8, "width": 10, "length": 3, "file_names": ["a", "b", "c"]}]})";

template <class Parse>
void try_parse(Parse parse) {
  try {
    (void)parse();
  } catch (const visage::InputError&) {
  }
}

}  // namespace

/// One text for every annotation reader. Refusal is the only error allowed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace visage::annotation;
  static const VideoDataset truth = parse_ytvis(kTruth, "truth");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try_parse([&] { return parse_ytvis(text, "fuzz"); });
  try_parse([&] { return parse_coco(text, "fuzz"); });
  try_parse([&] { return parse_results(text, "fuzz", truth); });
  return 0;
}
