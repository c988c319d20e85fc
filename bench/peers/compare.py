"""VISAGE beside the same network and tracker in PyTorch: first that both give the same numbers for the same weights and
frames, then the time of a frame at three sizes and of a training step, in several precisions, eager and compiled with
CUDA graphs. Ours and theirs take turns, twice. Rewrites its JSON after every case, so that what was measured is kept
when the time is up.

    python3 bench/peers/compare.py --program build/cpu/bin/visage --device cpu --quick
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn

import train_step
from model import QUERIES, Visage, load, read_safetensors

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
WINDOW, ALPHA = 5, 0.75
KEPT = 10  # queries whose masks a frame gives out at its full size
SIZES = {"360x640": (360, 640), "480x864": (480, 864), "720x1280": (720, 1280)}
PRECISIONS = ("f32", "tf32", "bf16")


def frames_of(count, height, width, seed=1):
    """Smooth random pictures that drift, u8 [count, H, W, 3]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 24 + 2, (width + 4 * count) // 24 + 2, generator=generator)
    scene = F.interpolate(coarse, size=(height, width + 4 * count), mode="bilinear", align_corners=False)[0]
    scene = (scene + 0.1 * torch.rand(scene.shape, generator=generator)).clamp(0, 1)
    views = [scene[:, :, 4 * t:4 * t + width] for t in range(count)]
    return (torch.stack(views).permute(0, 2, 3, 1) * 255).to(torch.uint8).contiguous()


class Tracker:
    """Memory read (Eq. 1 of the paper), blended cosine, optimal assignment, insert."""

    def __init__(self):
        self.banks, self.scores = ([], []), []

    def read(self, bank):
        ages = torch.arange(len(bank), 0, -1, device=bank[0].device)
        weights = torch.stack(self.scores) * (WINDOW / ages)[:, None]
        return torch.einsum("wk,wkd->kd", weights, torch.stack(bank))

    def step(self, logits, embeddings):
        scores = logits.softmax(-1)[:, :-1].max(-1)[0]
        order = torch.arange(len(scores))
        if self.scores:
            cosine = [F.normalize(self.read(bank), dim=-1) @ F.normalize(new, dim=-1).T
                      for bank, new in zip(self.banks, embeddings)]
            similarity = (1 - ALPHA) * cosine[0] + ALPHA * cosine[1]
            order = torch.as_tensor(linear_sum_assignment(similarity.cpu().numpy(), maximize=True)[1])
        order = order.to(scores.device)
        for bank, new in zip(self.banks, embeddings):
            bank.append(new[order])
            del bank[:-WINDOW]
        self.scores.append(scores[order])
        del self.scores[:-WINDOW]
        return order


class Inference(nn.Module):
    """From a u8 frame on the device to class logits, mask logits and embeddings."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, frame):
        image = (frame.permute(2, 0, 1)[None].float() - self.mean) / self.std
        height, width = image.shape[-2:]
        image = F.pad(image, (0, -width % 32, 0, -height % 32)).contiguous(memory_format=torch.channels_last)
        outputs, embeddings = self.network(image)
        classes, masks = outputs[-1]
        return classes[0].float(), masks[0].float(), embeddings[0][0].float(), embeddings[1][0].float()


def set_precision(precision):
    """Products of the process; gives the context to run in."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast("cuda" if torch.cuda.is_available() else "cpu", dtype=torch.bfloat16)


class Theirs:
    """A frame from host memory to ids, scores and masks in host memory."""

    def __init__(self, network, precision, compiled):
        self.precision, self.tracker = precision, Tracker()
        self.inference = Inference(network).eval()
        self.device = next(network.parameters()).device
        self.call = torch.compile(self.inference, mode="reduce-overhead") if compiled else self.inference

    @torch.inference_mode()
    def __call__(self, frame):
        with set_precision(self.precision):
            logits, masks, *embeddings = self.call(frame.to(self.device, non_blocking=True))
        order = self.tracker.step(logits, embeddings)
        scores = logits.softmax(-1)[:, :-1].max(-1)
        kept = scores[0].topk(KEPT)[1]
        height, width = frame.shape[:2]
        padded = F.interpolate(masks[kept][None], size=(height + -height % 32, width + -width % 32), mode="bilinear",
                               align_corners=False)[0]
        return order.cpu(), scores[0].cpu(), scores[1].cpu(), (padded[:, :height, :width] > 0).cpu()


def run_ours(arguments):
    ended = subprocess.run(arguments, capture_output=True, text=True)
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: {ended.stderr.strip()}")
    return ended.stdout


class Comparison:
    def __init__(self, options):
        self.options = options
        self.folder = tempfile.TemporaryDirectory()
        self.device = torch.device(options.device)
        self.weights = os.path.join(self.folder.name, "weights.safetensors")
        run_ours([options.program, "inspect", "--make-test-weights", "public", self.weights])
        self.network = load(Visage(), self.weights).to(self.device).eval()
        if self.device.type == "cuda":
            self.network = self.network.to(memory_format=torch.channels_last)
        self.result = {"torch": torch.__version__, "device": self.device_name(), "threads": torch.get_num_threads(),
                       "equality": {}, "inference": [], "training": []}

    def device_name(self):
        return torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"

    def save(self):
        if self.options.json:
            with open(self.options.json + ".part", "w") as file:
                json.dump(self.result, file, indent=1)
            os.replace(self.options.json + ".part", self.options.json)

    def variants(self):
        precisions = PRECISIONS if self.device.type == "cuda" else ("f32",)
        can_compile = self.device.type == "cuda" and hasattr(torch, "compile")
        for precision in ("bf16",) if self.options.quick and self.device.type == "cuda" else precisions:
            for compiled in (False, True) if can_compile else (False,):
                yield precision, compiled

    def check_equality(self):
        """Logits and embeddings of a short clip; f32 on both sides."""
        frames, height, width = 3, 96, 160
        clip = frames_of(frames, height, width)
        raw, out = os.path.join(self.folder.name, "clip.rgb"), os.path.join(self.folder.name, "out")
        with open(raw, "wb") as file:
            file.write(bytes(clip.flatten().tolist()))
        with open(raw, "rb") as file:
            subprocess.run([self.options.program, "track", "-", "--size", f"{width}x{height}", "--weights",
                            self.weights, "--set", f"inference.shortest_edge={height}", "--dump-embeddings",
                            "--overlay", "none", "--device", self.options.device, "--output", out, "--quiet"],
                           stdin=file, check=True)
        ours = read_safetensors(os.path.join(out, "embeddings.safetensors"))
        theirs = {"logits": [], "mask_logits": [], "object": [], "appearance": []}
        inference = Inference(self.network)
        with torch.inference_mode(), set_precision("f32"):
            for frame in clip:
                for name, value in zip(theirs, inference(frame.to(self.device))):
                    theirs[name].append(value.cpu())
        worst = 0
        for name, values in theirs.items():
            mine, other = ours[name].float(), torch.stack(values)
            error = ((mine - other).norm() / other.norm()).item()
            self.result["equality"][name] = error
            worst = max(worst, error)
        errors = ", ".join(f"{name} {error:.1e}" for name, error in self.result["equality"].items())
        print(f"equality, relative error: {errors}", flush=True)
        self.save()
        # A mask's pixel on the threshold may go either way in a layer, and moves everything after it a little.
        if not worst < 1e-2:
            raise SystemExit("the outputs differ: what would be compared is not the same network")

    def time_theirs(self, call, units):
        times = []
        for unit in units:
            start = time.perf_counter()
            call(unit)
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return times

    def time_ours(self, what, *arguments):
        path = os.path.join(self.folder.name, "profile.json")
        run_ours([self.options.program, "profile", what, "--device", self.options.device, "--json", path, *arguments])
        with open(path) as file:
            return json.load(file)["latency_seconds"]["all"]

    def record(self, table, case, times):
        ordered = sorted(times)
        row = {**case, "p50_ms": 1e3 * statistics.median(ordered),
               "p95_ms": 1e3 * ordered[round(0.95 * (len(ordered) - 1))], "repeats": len(ordered)}
        self.result[table].append(row)
        self.save()
        print("  ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)

    def compare_inference(self):
        count = self.options.repeats
        sizes = {"480x864": SIZES["480x864"]} if self.options.quick else SIZES
        for size, (height, width) in sizes.items():
            clip = frames_of(min(count, 16), height, width)
            units = [clip[t % len(clip)] for t in range(count)]
            cases = [(p, c, Theirs(self.network, p, c)) for p, c in self.variants()]
            for turn in (1, 2):
                for precision in dict.fromkeys(p for p, _, _ in cases):
                    if precision == "tf32":
                        continue  # ours runs f32 products as f32
                    times = self.time_ours("track", "--weights", self.weights, "--size", f"{width}x{height}",
                                           "--precision", precision, "--frames", str(count), "--warmup", "3",
                                           "--set", f"inference.shortest_edge={height}")
                    self.record("inference", {"who": "visage", "size": size, "precision": precision, "turn": turn}, times)
                for precision, compiled, call in cases:
                    who = "torch compiled" if compiled else "torch eager"
                    warm_up = units[:3 if turn == 1 else 1]
                    self.time_theirs(call, warm_up)
                    times = self.time_theirs(call, units)
                    self.record("inference", {"who": who, "size": size, "precision": precision, "turn": turn}, times)

    def compare_training(self):
        steps = max(2, self.options.repeats // 10)
        clips, frames, height, width = (1, 2, 256, 448) if self.device.type == "cpu" else (4, 4, 480, 864)
        images, targets = train_step.batch(clips * frames, height, width, self.device)
        for precision, compiled in self.variants():
            model = load(Visage(), self.weights).to(self.device)
            parameters = list(model.parameters())
            optimizer = torch.optim.AdamW(train_step.parameter_groups(model))
            call = torch.compile(model, mode="reduce-overhead") if compiled else model

            def step(_):
                optimizer.zero_grad(set_to_none=True)
                with set_precision(precision):
                    outputs, embeddings = call(images)
                loss = train_step.losses(outputs, embeddings, targets)
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 0.01)
                optimizer.step()

            if precision != "tf32" and not compiled:
                recipe = (f"clips={clips}", f"frames={frames}", f"precision={precision}", "data.least_objects=4",
                          "data.most_objects=4")
                settings = [word for key in recipe for word in ("--set", f"train.{key}")]
                times = self.time_ours("train", "--steps", str(steps), "--warmup", "1", "--size", f"{width}x{height}",
                                       *settings)
                self.record("training", {"who": "visage", "precision": precision}, times)
            self.time_theirs(step, range(1 if not compiled else 3))
            who = "torch compiled" if compiled else "torch eager"
            self.record("training", {"who": who, "precision": precision}, self.time_theirs(step, range(steps)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, help="visage")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=["equality", "inference", "training"])
    parser.add_argument("--repeats", type=int, help="frames timed in a turn; a tenth of it: training steps")
    parser.add_argument("--quick", action="store_true", help="one size and one precision")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.repeats is None:
        options.repeats = (20 if options.quick else 60) if options.device == "cuda" else 2
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    comparison = Comparison(options)
    comparison.check_equality()
    failed = False
    for name in ("inference", "training"):
        if options.only not in (None, name):
            continue
        try:
            getattr(comparison, f"compare_{name}")()
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    comparison.save()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
