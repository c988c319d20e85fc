#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/media/writers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace visage::media {
namespace {

// A fixed palette of 6 x 7 x 6 levels of red, green and blue: the eye tells greens apart best.
constexpr std::array<int, 3> kLevels = {6, 7, 6};
constexpr int kCodeBits = 8;
constexpr int kClear = 1 << kCodeBits;
constexpr int kEnd = kClear + 1;
constexpr int kMaxCodes = 4096;

void append_u16(std::string& out, int value) {
  out += static_cast<char>(value & 0xFF);
  out += static_cast<char>(value >> 8 & 0xFF);
}

/// Packs codes of growing width, least significant bit first, into blocks of at most 255 bytes.
class BitBlocks {
 public:
  explicit BitBlocks(std::string& out) : out_(out) {}

  void put(int code, int width) {
    bits_ |= static_cast<uint32_t>(code) << count_;
    for (count_ += width; count_ >= 8; count_ -= 8, bits_ >>= 8) byte(static_cast<char>(bits_ & 0xFF));
  }

  void finish() {
    if (count_ > 0) byte(static_cast<char>(bits_ & 0xFF));
    if (!block_.empty()) flush();
    out_ += '\0';
  }

 private:
  void byte(char value) {
    block_ += value;
    if (block_.size() == 255) flush();
  }
  void flush() {
    out_ += static_cast<char>(block_.size());
    out_ += block_;
    block_.clear();
  }

  std::string& out_;
  std::string block_;
  uint32_t bits_ = 0;
  int count_ = 0;
};

/// The dictionary of LZW: code of (known string, next index), found by open addressing.
class Dictionary {
 public:
  Dictionary() { clear(); }
  void clear() {
    keys_.fill(-1);
    next_ = kEnd + 1;
  }
  int next() const { return next_; }
  /// Code of prefix + index, or -1 after entering it as the next code.
  int find_or_add(int prefix, int index) {
    const int key = prefix << kCodeBits | index;
    uint32_t slot = static_cast<uint32_t>(key) * 2654435761u >> 19;
    for (; keys_[slot] >= 0; slot = (slot + 1) % kSlots) {
      if (keys_[slot] == key) return codes_[slot];
    }
    keys_[slot] = key;
    codes_[slot] = next_++;
    return -1;
  }

 private:
  static constexpr uint32_t kSlots = 8192;
  std::array<int, kSlots> keys_;
  std::array<int, kSlots> codes_{};
  int next_ = 0;
};

/// Variable-width LZW of GIF89a, appendix F.
void append_lzw(std::string& out, const std::vector<uint8_t>& indices) {
  out += static_cast<char>(kCodeBits);
  BitBlocks bits(out);
  Dictionary dictionary;
  int width = kCodeBits + 1;
  bits.put(kClear, width);
  int prefix = indices[0];
  for (size_t i = 1; i < indices.size(); ++i) {
    const int known = dictionary.find_or_add(prefix, indices[i]);
    if (known >= 0) {
      prefix = known;
      continue;
    }
    bits.put(prefix, width);
    prefix = indices[i];
    // The reader enters a code one step later than the writer, so the width grows one code after it is full.
    if (dictionary.next() > 1 << width && width < 12) ++width;
    if (dictionary.next() == kMaxCodes) {
      bits.put(kClear, width);
      dictionary.clear();
      width = kCodeBits + 1;
    }
  }
  bits.put(prefix, width);
  if (dictionary.next() == 1 << width && width < 12) ++width;
  bits.put(kEnd, width);
  bits.finish();
}

std::string palette_bytes() {
  std::string bytes;
  for (int r = 0; r < kLevels[0]; ++r) {
    for (int g = 0; g < kLevels[1]; ++g) {
      for (int b = 0; b < kLevels[2]; ++b) {
        bytes += static_cast<char>(255 * r / (kLevels[0] - 1));
        bytes += static_cast<char>(255 * g / (kLevels[1] - 1));
        bytes += static_cast<char>(255 * b / (kLevels[2] - 1));
      }
    }
  }
  bytes.resize(3 * 256, '\0');
  return bytes;
}

/// Threshold of ordered dithering in (0, 1): the 8x8 Bayer matrix, whose bits are those of x ^ y and y interleaved.
double threshold(int x, int y) {
  int rank = 0;
  for (int bit = 0; bit < 3; ++bit) rank |= ((x ^ y) >> bit & 1) << (5 - 2 * bit) | (y >> bit & 1) << (4 - 2 * bit);
  return (rank + 0.5) / 64;
}

std::vector<uint8_t> dithered(const Image& image) {
  // index of one channel's level for each byte value and each cell of the dither matrix
  static const auto levels = [] {
    std::array<std::array<std::array<uint8_t, 256>, 64>, 3> table{};
    for (int c = 0; c < 3; ++c) {
      for (int cell = 0; cell < 64; ++cell) {
        for (int v = 0; v < 256; ++v) {
          table[c][cell][v] = static_cast<uint8_t>(v * (kLevels[c] - 1) / 255.0 + threshold(cell % 8, cell / 8));
        }
      }
    }
    return table;
  }();
  std::vector<uint8_t> indices(image.rgb.size() / 3);
  uint8_t* to = indices.data();
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* from = image.row(y);
    for (int x = 0; x < image.width; ++x, from += 3) {
      const int cell = y % 8 * 8 + x % 8;
      *to++ = static_cast<uint8_t>((levels[0][cell][from[0]] * kLevels[1] + levels[1][cell][from[1]]) * kLevels[2] +
                                   levels[2][cell][from[2]]);
    }
  }
  return indices;
}

class GifWriter final : public VideoWriter {
 public:
  GifWriter(const std::string& path, const VideoOptions& options)
      : VideoWriter(path, options.size), file_(path), fps_(options.fps) {
    check<InputError>(options.size.width <= 65535 && options.size.height <= 65535, "cannot write ", path,
                      ": a GIF is at most 65535 pixels wide and high; write frames instead");
    std::string header = "GIF89a";
    append_u16(header, options.size.width);
    append_u16(header, options.size.height);
    header += "\xF7";             // a global palette of 256 colours, 8 bits a channel
    header += std::string(2, 0);  // background index, square pixels
    header += palette_bytes();
    header += std::string("\x21\xFF\x0BNETSCAPE2.0\x03\x01\0\0\0", 19);  // loop for ever
    file_.write(header);
  }

 private:
  void write(const Image& image) override {
    // Delays are whole hundredths of a second; rounding the times, not the delays, keeps the length of the clip.
    const int64_t begin = std::llround(100 * static_cast<double>(frames()) / fps_);
    const int64_t end = std::llround(100 * static_cast<double>(frames() + 1) / fps_);
    std::string block("\x21\xF9\x04\x04", 4);
    // Players take delays below 2 for 10.
    append_u16(block, static_cast<int>(std::clamp<int64_t>(end - begin, 2, 65535)));
    block += std::string(2, 0);
    block += ',';
    append_u16(block, 0);
    append_u16(block, 0);
    append_u16(block, image.width);
    append_u16(block, image.height);
    block += '\0';
    append_lzw(block, dithered(image));
    file_.write(block);
  }

  void publish() override {
    file_.write(";");
    file_.commit();
  }

  files::AtomicFile file_;
  double fps_;
};

}  // namespace

std::unique_ptr<VideoWriter> open_gif(const std::string& path, const VideoOptions& options) {
  return std::make_unique<GifWriter>(path, options);
}

}  // namespace visage::media
