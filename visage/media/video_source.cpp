#include "tensor/cpu/parallel.h"
#include "tensor/error.h"
#include "tensor/log.h"
#include "visage/media/byte_stream.h"
#include "visage/media/frame_name.h"
#include "visage/media/sources.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <new>
#include <utility>

#ifdef VISAGE_FFMPEG
#include "visage/media/ffmpeg_handles.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>
}
#endif

namespace visage::media {

#ifndef VISAGE_FFMPEG

std::unique_ptr<FrameSource> open_video(const SourceOptions& options) {
  check<UnknownStreamError>(!is_stream(options.path), "cannot read ", shown_name(options.path),
                            ": videos need FFmpeg, which this build has not, and raw RGB frames need their size");
  fail<InputError>("cannot read ", options.path,
                   ": video files need FFmpeg, which this build has not; install libavformat-dev, libavcodec-dev and "
                   "libswscale-dev and build again, or give a folder of images");
}

#else
namespace {

struct Input {
  std::unique_ptr<ByteStream> bytes;  // of a stream; FFmpeg opens files itself
  ffmpeg::ReaderPtr reader;           // of the bytes
  ffmpeg::InputPtr format;
  ffmpeg::CodecPtr codec;
  AVStream* stream = nullptr;
  int quarter_turns = 0;         // clockwise, that show the picture upright
  int64_t promised_packets = 0;  // by the file's index; 0 = it has none
};

/// Phones record sideways and note the rotation in the stream.
int quarter_turns(const AVStream& stream) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
  const AVPacketSideData* data = av_packet_side_data_get(
      stream.codecpar->coded_side_data, stream.codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  const uint8_t* matrix = data ? data->data : nullptr;
#else
  const uint8_t* matrix = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, nullptr);
#endif
  if (!matrix) return 0;
  int32_t values[9];
  std::memcpy(values, matrix, sizeof values);
  const double counterclockwise = av_display_rotation_get(values);
  if (!std::isfinite(counterclockwise)) return 0;
  return ((-static_cast<int>(std::lround(counterclockwise / 90)) % 4) + 4) % 4;
}

int64_t promised_packets(const AVFormatContext& format, AVStream* stream) {
  const bool is_mov = std::strstr(format.iformat->name, "mp4") != nullptr;
  if (!is_mov || stream->nb_frames == 0) return stream->nb_frames;
  // An edit list may leave samples out, which the index knows and the sample count does not.
  return std::min<int64_t>(stream->nb_frames, avformat_index_get_entries_count(stream));
}

bool draws_text(AVCodecID codec) {
  return codec == AV_CODEC_ID_ANSI || codec == AV_CODEC_ID_BINTEXT || codec == AV_CODEC_ID_XBIN ||
         codec == AV_CODEC_ID_IDF;
}

ffmpeg::CodecPtr open_decoder(const std::string& path, const Input& input, const AVCodec* decoder) {
  const AVStream& stream = *input.stream;
  ffmpeg::CodecPtr codec(avcodec_alloc_context3(decoder));
  int status = codec ? avcodec_parameters_to_context(codec.get(), stream.codecpar) : AVERROR(ENOMEM);
  if (status >= 0) {
    codec->max_pixels = kMaxPixels;
    codec->thread_count = cpu::num_threads();
    if (input.bytes) codec->thread_type = FF_THREAD_SLICE;  // threads that share no frame each hold one back
    codec->pkt_timebase = stream.time_base;
    status = avcodec_open2(codec.get(), decoder, nullptr);
  }
  check<InputError>(status >= 0, "cannot decode ", path, " (", avcodec_get_name(stream.codecpar->codec_id),
                    "): ", ffmpeg::describe(status), "; convert it to H.264 mp4");
  return codec;
}

/// AVIOContext::read_packet of a ByteStream.
int read_stream(void* stream, uint8_t* buffer, int size) {
  const ssize_t got = static_cast<ByteStream*>(stream)->read({buffer, static_cast<size_t>(size)});
  if (got > 0) return static_cast<int>(got);
  if (got == 0) return AVERROR_EOF;
  return errno == EINTR ? AVERROR_EXIT : AVERROR(errno);
}

/// Makes FFmpeg read the container from a stream.
void attach_stream(AVFormatContext& format, const SourceOptions& options, Input& input) {
  constexpr int kBuffer = 1 << 16;  // what a pipe holds
  input.bytes = std::make_unique<ByteStream>(options);
  auto* buffer = static_cast<unsigned char*>(av_malloc(kBuffer));
  input.reader.reset(avio_alloc_context(buffer, kBuffer, 0, input.bytes.get(), read_stream, nullptr, nullptr));
  if (!input.reader) throw std::bad_alloc();
  format.pb = input.reader.get();
}

/// The container of a file or stream, opened, its streams known.
Input open_container(const SourceOptions& options) {
  const std::string path = shown_name(options.path);
  const bool stream = is_stream(options.path);
  std::error_code error;
  const auto bytes = stream ? 1 : std::filesystem::file_size(path, error);
  check<InputError>(!error, "cannot read video ", path, ": ", error.message());
  check<InputError>(bytes > 0, "cannot read video ", path, ": the file is empty");
  Input input;
  input.format.reset(avformat_alloc_context());
  if (!input.format) throw std::bad_alloc();
  if (stream) attach_stream(*input.format, options, input);
  AVDictionary* settings = nullptr;
  // A playlist must not reach for the network, and one from a stream not for files either.
  av_dict_set(&settings, "protocol_whitelist", stream ? "none" : "file", 0);
  AVFormatContext* format = input.format.release();
  int status = avformat_open_input(&format, stream ? "" : ("file:" + path).c_str(), nullptr, &settings);
  av_dict_free(&settings);
  input.format.reset(format);
  check<InputError>(status >= 0, "cannot read video ", path, ": ", ffmpeg::describe(status),
                    "; it is no video, or is cut short (an mp4 keeps its index at the end)");
  status = avformat_find_stream_info(format, nullptr);
  check<InputError>(status >= 0, "cannot read video ", path, ": ", ffmpeg::describe(status), "; the file is damaged");
  return input;
}

Input open_input(const SourceOptions& options) {
  ffmpeg::quiet();
  const std::string path = shown_name(options.path);
  Input input = open_container(options);
  AVFormatContext* const format = input.format.get();
  const AVCodec* decoder = nullptr;
  const int index = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
  check<InputError>(index != AVERROR_DECODER_NOT_FOUND, "cannot decode ", path,
                    ": the installed FFmpeg has no decoder for it; convert it to H.264 mp4");
  check<InputError>(index >= 0 && !draws_text(format->streams[index]->codecpar->codec_id), "cannot read video ", path,
                    ": it has no video stream");
  input.stream = format->streams[index];
  input.codec = open_decoder(path, input, decoder);
  input.quarter_turns = quarter_turns(*input.stream);
  input.promised_packets = promised_packets(*format, input.stream);
  const AVCodecParameters& coded = *input.stream->codecpar;
  check<InputError>(coded.width > 0 && coded.height > 0, "cannot read video ", path,
                    ": its frame size is unknown; the file is damaged or cut short");
  check<InputError>(int64_t{coded.width} * coded.height <= kMaxPixels, "cannot read video ", path, ": ", coded.width,
                    "x", coded.height, " is more than ", kMaxPixels, " pixels a frame; scale it down");
  return input;
}

FrameInfo describe(const std::string& path, const Input& input) {
  const AVCodecParameters& coded = *input.stream->codecpar;
  FrameInfo info{clip_name(path), {coded.width, coded.height}, kDefaultFps, std::nullopt};
  if (input.quarter_turns % 2) std::swap(info.size.width, info.size.height);
  const AVRational rate = av_guess_frame_rate(input.format.get(), input.stream, nullptr);
  if (rate.num > 0 && rate.den > 0) info.fps = av_q2d(rate);
  if (input.promised_packets > 0) {
    info.frames = input.promised_packets;
  } else if (input.format->duration > 0) {
    info.frames = std::llround(static_cast<double>(input.format->duration) / AV_TIME_BASE * info.fps);
  }
  return info;
}

/// Copies rows of `stride` bytes into an image, turned clockwise.
Image upright(const uint8_t* rows, int64_t stride, Size size, int quarter_turns) {
  Image image = quarter_turns % 2 ? Image(size.height, size.width) : Image(size);
  if (quarter_turns == 0) {
    for (int y = 0; y < size.height; ++y) std::memcpy(image.row(y), rows + y * stride, size_t{3} * size.width);
    return image;
  }
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const int from_x = quarter_turns == 1 ? y : quarter_turns == 2 ? size.width - 1 - x : size.width - 1 - y;
      const int from_y = quarter_turns == 1 ? size.height - 1 - x : quarter_turns == 2 ? size.height - 1 - y : x;
      std::memcpy(image.pixel(x, y), rows + from_y * stride + 3 * from_x, 3);
    }
  }
  return image;
}

class VideoSource final : public FrameSource {
 public:
  VideoSource(Input input, const SourceOptions& options)
      : FrameSource(describe(options.path, input), options), input_(std::move(input)) {}

  std::vector<std::string> files() const override { return files_of_stream(options_.path); }

 private:
  std::optional<Frame> read(int64_t position) override {
    if (!decode()) {
      check_complete(position);
      return std::nullopt;
    }
    return Frame{to_image(), frame_name(position), position};
  }

  bool skip(int64_t position) override {
    if (decode()) return true;
    check_complete(position);
    return false;
  }

  bool stopped() const { return input_.bytes && input_.bytes->stopped(); }

  /// Decodes the next picture into frame_; false at the end.
  bool decode() {
    while (!stopped()) {
      const int status = avcodec_receive_frame(input_.codec.get(), frame_.get());
      if (status == 0) return true;
      if (status == AVERROR_EOF || (status != AVERROR(EAGAIN) && draining_)) return false;
      if (status != AVERROR(EAGAIN)) ++damaged_;
      feed();
    }
    return false;  // what was read last may be half a packet
  }

  void feed() {
    const int status = av_read_frame(input_.format.get(), packet_.get());
    if (status < 0) {
      read_failed_ = status != AVERROR_EOF;
      draining_ = true;
      avcodec_send_packet(input_.codec.get(), nullptr);
      return;
    }
    const AVStream& stream = *input_.format->streams[packet_->stream_index];
    if (packet_->pts != AV_NOPTS_VALUE) {
      read_until_ =
          std::max(read_until_, static_cast<double>(packet_->pts + packet_->duration) * av_q2d(stream.time_base));
    }
    if (&stream == input_.stream) {
      ++packets_;
      cut_packet_ = packet_->flags & AV_PKT_FLAG_CORRUPT;
      if (avcodec_send_packet(input_.codec.get(), packet_.get()) < 0) ++damaged_;
    }
    av_packet_unref(packet_.get());
  }

  Image to_image() {
    const Size size{frame_->width, frame_->height};
    scaler_.reset(sws_getCachedContext(
        scaler_.release(), size.width, size.height, static_cast<AVPixelFormat>(frame_->format), size.width, size.height,
        AV_PIX_FMT_RGB24, SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, nullptr, nullptr, nullptr));
    check<InputError>(scaler_ != nullptr, "cannot convert frames of ", shown_name(options_.path),
                      " to RGB; convert it to H.264 mp4");
    const int full_range = frame_->color_range == AVCOL_RANGE_JPEG;
    sws_setColorspaceDetails(scaler_.get(), sws_getCoefficients(frame_->colorspace), full_range,
                             sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    // The scaler's vector code writes up to a vector past a row's end, so it gets room of its own.
    const int stride = (3 * size.width + 127) / 64 * 64;
    rows_.resize(static_cast<size_t>(stride) * size.height + 64);
    uint8_t* planes[4] = {rows_.data()};
    const int strides[4] = {stride};
    sws_scale(scaler_.get(), frame_->data, frame_->linesize, 0, size.height, planes, strides);
    return upright(rows_.data(), stride, size, input_.quarter_turns);
  }

  /// At the end of the file: were these all the frames it promised?
  void check_complete(int64_t frames) {
    if (stopped()) return;
    if (damaged_ > 0) log::warn(shown_name(options_.path), ": ", damaged_, " damaged packets were passed over");
    if (!cut_short() || std::exchange(reported_, true)) return;
    check<InputError>(frames > 0 || !input_.bytes, "no frame of video ", shown_name(options_.path),
                      " could be read as it came; an mp4 with its index at the end has to be a file");
    const std::string of = input_.promised_packets > 0 ? " of " + std::to_string(input_.promised_packets) : "";
    if (options_.truncation == Truncation::accept) {
      return log::warn(shown_name(options_.path), " is cut short; going on with the ", frames, of,
                       " frames that could be read");
    }
    fail<TruncatedError>("video ", shown_name(options_.path), " is cut short: ", frames, of,
                         " frames could be read; copy the file again, or accept the frames that are there");
  }

  bool cut_short() const {
    if (read_failed_ || cut_packet_) return true;
    if (input_.promised_packets > 0) {
      // Only mp4 counts its packets exactly; an AVI's count includes dropped frames.
      const bool exact = std::strstr(input_.format->iformat->name, "mp4") != nullptr;
      return packets_ < (exact ? input_.promised_packets : input_.promised_packets * 95 / 100);
    }
    if (input_.format->duration <= 0 || input_.format->duration_estimation_method == AVFMT_DURATION_FROM_BITRATE)
      return false;
    const double promised = static_cast<double>(input_.format->duration) / AV_TIME_BASE;
    return promised - read_until_ > std::max(0.5, 0.05 * promised);
  }

  Input input_;
  ffmpeg::FramePtr frame_ = ffmpeg::make_frame();
  ffmpeg::PacketPtr packet_ = ffmpeg::make_packet();
  ffmpeg::ScalerPtr scaler_;
  std::vector<uint8_t> rows_;
  int64_t packets_ = 0;
  int64_t damaged_ = 0;
  double read_until_ = 0;  // seconds, over all streams: sound may outlast the pictures
  bool draining_ = false;
  bool read_failed_ = false;
  bool cut_packet_ = false;
  bool reported_ = false;
};

}  // namespace

std::unique_ptr<FrameSource> open_video(const SourceOptions& options) {
  try {
    return std::make_unique<VideoSource>(open_input(options), options);
  } catch (const InputError& error) {
    if (!is_stream(options.path)) throw;
    fail<UnknownStreamError>("", error.what(), "; raw RGB frames need their size");
  }
}

#endif

}  // namespace visage::media
