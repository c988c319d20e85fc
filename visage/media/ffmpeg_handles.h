#pragma once
#include <memory>
#include <string>

struct AVCodecContext;
struct AVFormatContext;
struct AVFrame;
struct AVIOContext;
struct AVPacket;
struct SwsContext;

namespace visage::media::ffmpeg {

struct Free {
  void operator()(AVFormatContext* input) const;
  void operator()(AVIOContext* reader) const;
  void operator()(AVCodecContext* codec) const;
  void operator()(AVFrame* frame) const;
  void operator()(AVPacket* packet) const;
  void operator()(SwsContext* scaler) const;
};

/// An input opened by avformat_open_input. (Outputs own a file too: see VideoWriter.)
using InputPtr = std::unique_ptr<AVFormatContext, Free>;
/// Made by avio_alloc_context; outlives the input that reads through it.
using ReaderPtr = std::unique_ptr<AVIOContext, Free>;
using CodecPtr = std::unique_ptr<AVCodecContext, Free>;
using FramePtr = std::unique_ptr<AVFrame, Free>;
using PacketPtr = std::unique_ptr<AVPacket, Free>;
using ScalerPtr = std::unique_ptr<SwsContext, Free>;

FramePtr make_frame();
PacketPtr make_packet();

/// FFmpeg's words for one of its error codes.
std::string describe(int status);

/// Keeps FFmpeg's own lines off the terminal unless the log level is debug.
void quiet();

}  // namespace visage::media::ffmpeg
