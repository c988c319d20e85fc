#pragma once
#include "visage/annotation/ytvis.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace visage::annotation {

/// Writes a data set that read_ytvis reads, annotation by annotation, so that memory grows only with the videos' file
/// names. The file appears under its name at close(). Masks are compressed run lengths. Functions throw InputError when
/// writing fails.
class YtvisWriter {
 public:
  /// `description` goes into "info".
  YtvisWriter(std::string path, std::string_view description, std::span<const Category> categories);
  ~YtvisWriter();
  YtvisWriter(const YtvisWriter&) = delete;
  YtvisWriter& operator=(const YtvisWriter&) = delete;

  void add_video(Video video);
  /// Its video may be added before or after.
  void add_annotation(const TrackAnnotation& annotation);
  void close();

 private:
  struct Output;
  std::unique_ptr<Output> out_;
  std::vector<Video> videos_;
  bool first_annotation_ = true;
};

}  // namespace visage::annotation
