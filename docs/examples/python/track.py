"""track.py LIBVISAGE WEIGHTS WIDTH HEIGHT [SETTINGS]: the program ../c/track.c, without anything to install."""
import ctypes, json, sys

library, weights, width, height, *settings = sys.argv[1:]
visage = ctypes.CDLL(library)
visage.visage_last_error.restype = ctypes.c_char_p
tracker, line, frame_size = ctypes.c_void_p(), ctypes.c_char_p(), 3 * int(width) * int(height)

def call(name, *arguments):
    status = visage[name](*arguments)
    return status if status >= 0 else sys.exit("track.py: " + visage.visage_last_error().decode())

def print_done():
    while call("visage_next_json", tracker, ctypes.byref(line)) == 0:
        frame = json.loads(line.value)
        for o in frame["objects"]:
            print("frame", frame["frame"], "track", o["track"], o["label"], "box", *map(int, o["box"]),
                  "area", o["area"], f"score {o['score']:.3f}")

call("visage_create", weights.encode(), "".join(settings).encode(), ctypes.byref(tracker))
while len(rgb := sys.stdin.buffer.read(frame_size)) == frame_size:
    call("visage_feed", tracker, rgb, int(width), int(height), 3 * int(width))
    print_done()
call("visage_flush", tracker)
print_done()
visage.visage_destroy(tracker)
