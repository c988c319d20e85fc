#include "visage/media/writers.h"

#ifndef VISAGE_FFMPEG

namespace visage::media {

std::unique_ptr<VideoWriter> open_mp4(const std::string&, const VideoOptions&) { return nullptr; }

}  // namespace visage::media

#else

#include "tensor/cpu/parallel.h"
#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/media/ffmpeg_handles.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

namespace visage::media {
namespace {

// H.264 ends at 16,384 (macroblock limit of its highest level); libx264 refuses more, but leaks on the way out.
constexpr int kMaxH264Side = 16384;

int even(int side) { return side + side % 2; }

bool fits(const char* encoder, Size size) {
  return std::strcmp(encoder, "mpeg4") == 0 || std::max(size.width, size.height) <= kMaxH264Side;
}

ffmpeg::CodecPtr open_encoder(const char* name, const VideoOptions& options) {
  const AVCodec* encoder = avcodec_find_encoder_by_name(name);
  ffmpeg::CodecPtr codec(encoder ? avcodec_alloc_context3(encoder) : nullptr);
  if (!codec) return nullptr;
  codec->width = even(options.size.width);
  codec->height = even(options.size.height);
  codec->pix_fmt = AV_PIX_FMT_YUV420P;
  codec->framerate = av_d2q(options.fps, 60000);  // MPEG-4 counts ticks in 16 bits
  codec->time_base = av_inv_q(codec->framerate);
  codec->thread_count = cpu::num_threads();
  codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  codec->colorspace = AVCOL_SPC_BT709;
  codec->color_primaries = AVCOL_PRI_BT709;
  codec->color_trc = AVCOL_TRC_BT709;
  codec->color_range = AVCOL_RANGE_MPEG;
  AVDictionary* settings = nullptr;
  if (std::strcmp(name, "libx264") == 0) {
    av_dict_set(&settings, "preset", "veryfast", 0);
    av_dict_set(&settings, "crf", "20", 0);
  } else {
    codec->flags |= AV_CODEC_FLAG_QSCALE;
    codec->global_quality = 3 * FF_QP2LAMBDA;
  }
  const int status = avcodec_open2(codec.get(), encoder, &settings);
  av_dict_free(&settings);
  return status < 0 ? nullptr : std::move(codec);
}

/// An output file under a temporary name; removed unless published.
class Container {
 public:
  Container(const std::string& path, const AVCodecContext& codec) : place_(path, files::Kind::file) {
    int status = avformat_alloc_output_context2(&format_, nullptr, "mp4", ("file:" + place_.path()).c_str());
    if (status >= 0) status = begin(codec);
    if (status < 0) {
      close();
      fail_with(status);
    }
  }
  ~Container() { close(); }
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  void write(AVPacket* packet, AVRational time_base) {
    packet->stream_index = 0;
    packet->duration = 1;  // without it the last frame gets no time and players drop it
    av_packet_rescale_ts(packet, time_base, format_->streams[0]->time_base);
    int status = av_interleaved_write_frame(format_, packet);
    if (status >= 0) status = format_->pb->error;
    if (status < 0) fail_with(status);
  }

  void publish() {
    int status = av_write_trailer(format_);
    if (status >= 0) status = format_->pb->error;
    const int closed = avio_closep(&format_->pb);
    if (status >= 0) status = closed;
    if (status < 0) fail_with(status);
    place_.publish();
  }

 private:
  int begin(const AVCodecContext& codec) {
    AVStream* stream = avformat_new_stream(format_, nullptr);
    if (!stream) return AVERROR(ENOMEM);
    stream->time_base = codec.time_base;
    stream->avg_frame_rate = codec.framerate;
    int status = avcodec_parameters_from_context(stream->codecpar, &codec);
    if (status >= 0) status = avio_open(&format_->pb, format_->url, AVIO_FLAG_WRITE);
    if (status < 0) return status;
    AVDictionary* settings = nullptr;
    av_dict_set(&settings, "movflags", "+faststart", 0);  // the index first: plays while it loads
    status = avformat_write_header(format_, &settings);
    av_dict_free(&settings);
    return status;
  }

  void close() {
    if (format_ && format_->pb) avio_closep(&format_->pb);
    avformat_free_context(format_);
    format_ = nullptr;
  }

  [[noreturn]] void fail_with(int status) const {
    fail<InputError>("cannot write ", place_.target(), ": ", ffmpeg::describe(status),
                     "; check that the folder exists, may be written and has free space");
  }

  files::TemporaryPath place_;
  AVFormatContext* format_ = nullptr;
};

class Mp4Writer final : public VideoWriter {
 public:
  Mp4Writer(const std::string& path, Size size, ffmpeg::CodecPtr codec)
      : VideoWriter(path, size), codec_(std::move(codec)), container_(path, *codec_) {
    frame_->format = codec_->pix_fmt;
    frame_->width = codec_->width;
    frame_->height = codec_->height;
    frame_->colorspace = codec_->colorspace;
    frame_->color_range = codec_->color_range;
    stride_ = (3 * codec_->width + 127) / 64 * 64;
    rows_.resize(static_cast<size_t>(stride_) * codec_->height + 64);
    check_status(av_frame_get_buffer(frame_.get(), 0));
    scaler_.reset(sws_getContext(codec_->width, codec_->height, AV_PIX_FMT_RGB24, codec_->width, codec_->height,
                                 codec_->pix_fmt, SWS_BILINEAR | SWS_ACCURATE_RND, nullptr, nullptr, nullptr));
    check<InputError>(scaler_ != nullptr, "cannot write ", path, ": FFmpeg cannot convert RGB frames");
    const int* coefficients = sws_getCoefficients(SWS_CS_ITU709);
    sws_setColorspaceDetails(scaler_.get(), coefficients, 1, coefficients, 0, 0, 1 << 16, 1 << 16);
  }

 private:
  void write(const Image& image) override {
    pad_to_even(image);
    check_status(av_frame_make_writable(frame_.get()));
    const uint8_t* planes[4] = {rows_.data()};
    const int strides[4] = {stride_};
    sws_scale(scaler_.get(), planes, strides, 0, codec_->height, frame_->data, frame_->linesize);
    frame_->pts = frames();
    encode(frame_.get());
  }

  void publish() override {
    encode(nullptr);
    container_.publish();
  }

  void pad_to_even(const Image& image) {
    const int64_t row_bytes = int64_t{3} * image.width;
    for (int y = 0; y < codec_->height; ++y) {
      uint8_t* to = rows_.data() + int64_t{stride_} * y;
      std::memcpy(to, image.row(std::min(y, image.height - 1)), static_cast<size_t>(row_bytes));
      if (codec_->width > image.width) std::memcpy(to + row_bytes, to + row_bytes - 3, 3);
    }
  }

  /// Gives a frame, or null at the end, to the encoder and writes what comes out.
  void encode(const AVFrame* frame) {
    check_status(avcodec_send_frame(codec_.get(), frame));
    while (true) {
      const int status = avcodec_receive_packet(codec_.get(), packet_.get());
      if (status == AVERROR(EAGAIN) || status == AVERROR_EOF) return;
      check_status(status);
      container_.write(packet_.get(), codec_->time_base);
    }
  }

  void check_status(int status) const {
    if (status < 0)
      fail<InputError>("cannot write ", path(), ": ", ffmpeg::describe(status), "; write a gif or frames");
  }

  ffmpeg::CodecPtr codec_;
  Container container_;
  ffmpeg::FramePtr frame_ = ffmpeg::make_frame();
  ffmpeg::PacketPtr packet_ = ffmpeg::make_packet();
  ffmpeg::ScalerPtr scaler_;
  int stride_ = 0;
  std::vector<uint8_t> rows_;  // the frame padded to even sides, with room for the scaler's vectors
};

}  // namespace

std::unique_ptr<VideoWriter> open_mp4(const std::string& path, const VideoOptions& options) {
  ffmpeg::quiet();
  for (const char* encoder : {"libx264", "libopenh264", "mpeg4"}) {
    if (!fits(encoder, options.size)) continue;
    if (auto codec = open_encoder(encoder, options)) {
      return std::make_unique<Mp4Writer>(path, options.size, std::move(codec));
    }
  }
  return nullptr;
}

}  // namespace visage::media

#endif
