#ifdef VISAGE_FFMPEG
#include "visage/media/ffmpeg_handles.h"

#include "tensor/log.h"

#include <new>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/frame.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <libswscale/swscale.h>
}

namespace visage::media::ffmpeg {

void Free::operator()(AVFormatContext* input) const { avformat_close_input(&input); }
void Free::operator()(AVIOContext* reader) const {
  av_freep(&reader->buffer);
  avio_context_free(&reader);
}
void Free::operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
void Free::operator()(AVFrame* frame) const { av_frame_free(&frame); }
void Free::operator()(AVPacket* packet) const { av_packet_free(&packet); }
void Free::operator()(SwsContext* scaler) const { sws_freeContext(scaler); }

FramePtr make_frame() {
  FramePtr frame(av_frame_alloc());
  if (!frame) throw std::bad_alloc();
  return frame;
}

PacketPtr make_packet() {
  PacketPtr packet(av_packet_alloc());
  if (!packet) throw std::bad_alloc();
  return packet;
}

std::string describe(int status) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(status, text, sizeof text);
  return text;
}

void quiet() { av_log_set_level(log::threshold() >= log::Level::debug ? AV_LOG_INFO : AV_LOG_QUIET); }

}  // namespace visage::media::ffmpeg
#endif
