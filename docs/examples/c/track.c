/* track WEIGHTS WIDTH HEIGHT [SETTINGS]: prints every tracked object of the raw RGB frames on stdin, as they come from
 * ffmpeg -i clip.mp4 -f rawvideo -pix_fmt rgb24 - */
#include <visage.h>

#include <stdio.h>
#include <stdlib.h>

/* Prints the frames that are done; the status of the first call that failed, or VISAGE_NO_FRAME. */
static visage_status print_done(visage_tracker* tracker) {
  for (;;) {
    visage_frame frame = {.struct_size = sizeof frame};
    visage_status status = visage_next(tracker, &frame);
    if (status != VISAGE_OK) return status;
    for (int32_t i = 0; i < frame.objects; ++i) {
      visage_object object = {.struct_size = sizeof object};
      status = visage_object_at(tracker, i, &object);
      if (status != VISAGE_OK) return status;
      printf("frame %d track %d %s box %d %d %d %d area %d score %.3f\n", (int)frame.index, object.track,
             object.class_name, object.x, object.y, object.width, object.height, (int)object.area, object.score);
    }
  }
}

int main(int argc, char** argv) {
  if (argc < 4) return fprintf(stderr, "use: track WEIGHTS WIDTH HEIGHT [SETTINGS]\n"), 2;
  const int width = atoi(argv[2]), height = atoi(argv[3]);
  const size_t size = 3 * (size_t)width * (size_t)height;
  uint8_t* rgb = malloc(size);
  if (!rgb) return fprintf(stderr, "track: no memory for a frame\n"), 1;
  visage_tracker* tracker = NULL;
  visage_status status = visage_create(argv[1], argc > 4 ? argv[4] : NULL, &tracker);
  while (status >= 0 && fread(rgb, 1, size, stdin) == size) {
    status = visage_feed(tracker, rgb, width, height, 3 * width);
    if (status >= 0) status = print_done(tracker);
  }
  if (status >= 0) status = visage_flush(tracker);
  if (status >= 0) status = print_done(tracker);
  if (status < 0) fprintf(stderr, "track: %s\n", visage_last_error());
  visage_destroy(tracker);
  free(rgb);
  return status < 0 ? 1 : 0;
}
