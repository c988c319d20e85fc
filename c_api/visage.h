/*
 * VISAGE for C, and for every language that can call C: RGB frames in, tracked objects out.
 *
 *   visage_tracker* tracker;
 *   if (visage_create("visage_r50.pth", "device=cuda; tracking.alpha=0.5", &tracker) < 0)
 *     return puts(visage_last_error());
 *   for every frame {
 *     visage_feed(tracker, rgb, width, height, 3 * width);
 *     visage_frame frame = {.struct_size = sizeof frame};
 *     while (visage_next(tracker, &frame) == VISAGE_OK)
 *       for i < frame.objects: visage_object_at(tracker, i, &object)
 *   }
 *   visage_flush(tracker);   and visage_next until it says VISAGE_NO_FRAME
 *   visage_destroy(tracker);
 *
 * Arguments are pointers and 32-bit integers alone. Strings are UTF-8 and end with a zero. Where declaring structs is
 * tedious, visage_next_json tells the same as text.
 * Ownership: what the caller passes is not kept after a call returns. What a function points to is the library's, and
 * stays as long as said there. The caller destroys the trackers it created.
 * Structs: the caller sets struct_size to its own sizeof; later versions add members at the end only, and write no more
 * than struct_size bytes.
 * Errors: a function that fails returns a negative code, writes nothing through its arguments, and leaves one line for
 * a person in visage_last_error(). The tracker goes on as if the call had not been made; only where visage_feed or
 * visage_flush failed midway (a GPU, memory, a full disk) do they ask for visage_reset from then on.
 * Threads: every function may be called from any thread. Calls wait for one another, whatever tracker they are of, as
 * each computes on all cores (OMP_NUM_THREADS limits them); a process for each GPU uses several GPUs at once. No other
 * thread may be in a call with a tracker that is being destroyed.
 * Remarks go to stderr; the environment variable VISAGE_LOG=warn keeps all but warnings away.
 */
#ifndef VISAGE_H
#define VISAGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VISAGE_API __attribute__((visibility("default")))
#else
#define VISAGE_API
#endif

typedef enum visage_status {
  VISAGE_OK = 0,
  VISAGE_NO_FRAME = 1,          /* not an error: no frame is done that has not been taken */
  VISAGE_ERROR_USAGE = -1,      /* a null pointer, an impossible value, setting or order of calls */
  VISAGE_ERROR_INPUT = -2,      /* a file that cannot be read, a frame of another size */
  VISAGE_ERROR_CHECKPOINT = -3, /* weights that are damaged or belong to another configuration */
  VISAGE_ERROR_DEVICE = -4,     /* of the GPU or its driver */
  VISAGE_ERROR_MEMORY = -5,     /* out of host memory */
  VISAGE_ERROR_INTERNAL = -6    /* anything else */
} visage_status;

/* A frame that is done. */
typedef struct visage_frame {
  size_t struct_size;
  int64_t index; /* in the video, from 0 */
  int32_t width; /* of the frame and its masks, pixels */
  int32_t height;
  int32_t objects; /* how many objects it lists: those of at least inference.min_score, best first */
} visage_frame;

/* An object of a frame. */
typedef struct visage_object {
  size_t struct_size;
  int32_t track;          /* the same number for the same object throughout the video, from 0 */
  int32_t label;          /* index of the class, from 0 */
  const char* class_name; /* of the configuration, or "class 1" for label 0; stays as long as the tracker */
  double score;           /* of the class, as known up to this frame; 0 to 1 */
  int32_t x, y;           /* box around the mask, pixels: left column, upper row, ... */
  int32_t width, height;  /* ... columns, rows */
  int64_t area;           /* of the mask, pixels */
} visage_object;

typedef struct visage_tracker visage_tracker;

/* Version of the library, "0.1.0". Stays. */
VISAGE_API const char* visage_version(void);

/* What the last failed call of this thread complained of, one line; "" before the first. Stays until the next one. */
VISAGE_API const char* visage_last_error(void);

/* Reads the weights (.safetensors, .pth or .pkl) and makes a tracker, ready for the first frame of a video.
 * `settings` are KEY=VALUE, separated by semicolons, the last of equal keys counts; NULL or "" for none:
 *   config      TOML file (docs/configuration.md); else that in the weights, if the file has one, else VISAGE R50
 *               of YouTube-VIS 2019
 *   device      cpu, cuda, cuda:1; or auto, the default: the first GPU, else the CPU
 *   precision   f32, the default; tf32, bf16
 *   any key of a configuration, such as tracking.alpha or inference.window, over what the file says */
VISAGE_API visage_status visage_create(const char* weights, const char* settings, visage_tracker** tracker);

/* Takes the next frame of the video: 8-bit RGB, rows of 3 * width bytes from the top, each `stride` bytes after the one
 * before. With inference.window = 1 on a CPU this frame is done afterwards, otherwise frames are done some calls later,
 * in order; with an offline model (model.detector.mode) a chunk of inference.chunk frames at a time. Do not wait for a
 * frame before feeding the next. All frames of a video have one size. */
VISAGE_API visage_status visage_feed(visage_tracker* tracker, const uint8_t* rgb, int32_t width, int32_t height,
                                     int32_t stride);

/* Ends the video: all its frames are done afterwards. */
VISAGE_API visage_status visage_flush(visage_tracker* tracker);

/* Takes the oldest frame that is done; VISAGE_NO_FRAME if there is none. Frames that are not taken stay in memory. */
VISAGE_API visage_status visage_next(visage_tracker* tracker, visage_frame* frame);

/* The same, as the JSON line of tracks.jsonl with objects and run-length masks (docs/outputs.md). The text stays until
 * the tracker's next call that takes a frame, or visage_reset. */
VISAGE_API visage_status visage_next_json(visage_tracker* tracker, const char** json);

/* Object `index` of the frame taken last. */
VISAGE_API visage_status visage_object_at(const visage_tracker* tracker, int32_t index, visage_object* object);

/* Its mask, a byte a pixel: `inside` where the object is, other bytes are left alone. Writes at
 * mask[y * stride + x * step], so step = 1 fills a plane and step = 4 a channel of RGBA. */
VISAGE_API visage_status visage_mask_at(const visage_tracker* tracker, int32_t index, uint8_t* mask, int32_t stride,
                                        int32_t step, uint8_t inside);

/* Forgets the video, frames that were not taken included; the next frame is the first of another one. The weights
 * stay. */
VISAGE_API visage_status visage_reset(visage_tracker* tracker);

/* Frees the tracker and what came from it. NULL is allowed. */
VISAGE_API void visage_destroy(visage_tracker* tracker);

#ifdef __cplusplus
}
#endif

#endif
