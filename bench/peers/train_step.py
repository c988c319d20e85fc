"""The training step of bench/train/train_step_bench.cpp in PyTorch, written the straightforward way: the network of
model.py, set-prediction and contrastive losses, clipping, AdamW. Prints CPU and wall time of a step, the peak memory,
the parameter count and the losses.

    apt-get install python3-torch python3-scipy libopenblas0-pthread
    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 /usr/bin/python3 bench/peers/train_step.py --steps 4
"""
import argparse
import resource
import time

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn

from model import CLASSES, Visage

SAMPLED, OVERSAMPLE, IMPORTANCE = 12544, 3, 0.75


def point_sample(images, points):
    """images [N, C, H, W], points [N, P, 2] in the unit square -> [N, C, P]."""
    return F.grid_sample(images, 2 * points[:, :, None] - 1, align_corners=False).squeeze(3)


@torch.no_grad()
def match(classes, masks, labels, truth):
    """One frame: classes [Q, K + 1], masks [Q, h, w], truth [I, H, W]."""
    points = torch.rand(1, SAMPLED, 2, device=masks.device)
    x, t = point_sample(masks[None], points)[0], point_sample(truth[None], points)[0]
    p = x.sigmoid()
    ce = (F.softplus(-x) @ t.T + F.softplus(x) @ (1 - t).T) / SAMPLED
    dice = 1 - (2 * p @ t.T + 1) / (p.sum(-1)[:, None] + t.sum(-1)[None] + 1)
    cost = 5 * ce - 2 * classes.softmax(-1)[:, labels] + 5 * dice
    return [torch.as_tensor(i) for i in linear_sum_assignment(cost.float().cpu().numpy())]


def uncertain_points(masks):
    device = masks.device
    candidates = torch.rand(len(masks), OVERSAMPLE * SAMPLED, 2, device=device)
    certain = int(IMPORTANCE * SAMPLED)
    nearest = (-point_sample(masks[:, None], candidates)[:, 0].abs()).topk(certain, 1)[1]
    chosen = candidates.gather(1, nearest[..., None].expand(-1, -1, 2))
    return torch.cat((chosen, torch.rand(len(masks), SAMPLED - certain, 2, device=device)), 1)


def head_losses(classes, masks, targets):
    matches = [match(classes[n].detach(), masks[n].detach(), *targets[n]) for n in range(len(targets))]
    labels = torch.full(classes.shape[:2], CLASSES, device=classes.device)
    for n, (queries, instances) in enumerate(matches):
        labels[n, queries] = targets[n][0][instances.to(targets[n][0].device)]
    weights = torch.ones(CLASSES + 1, device=classes.device)
    weights[CLASSES] = 0.1
    ce = F.cross_entropy(classes.float().transpose(1, 2), labels, weights)
    predicted = torch.cat([masks[n, queries] for n, (queries, _) in enumerate(matches)])
    truth = torch.cat([targets[n][1][instances] for n, (_, instances) in enumerate(matches)])
    with torch.no_grad():
        points = uncertain_points(predicted)
        t = point_sample(truth[:, None], points)[:, 0]
    x = point_sample(predicted[:, None], points)[:, 0]
    count = sum(len(labels) for labels, _ in targets)
    mask = F.binary_cross_entropy_with_logits(x, t, reduction="none").mean(1).sum() / count
    p = x.sigmoid()
    dice = (1 - (2 * (p * t).sum(-1) + 1) / (p.sum(-1) + t.sum(-1) + 1)).sum() / count
    return 2 * ce + 5 * mask + 5 * dice, matches


def contrastive_losses(embedding, matches):
    total, anchors = 0, 0
    for n in range(1, len(matches)):
        before, now = (queries[instances.argsort()] for queries, instances in (matches[n - 1], matches[n]))
        key, reference = embedding[n - 1, before], embedding[n, now]
        identity = torch.arange(len(key), device=key.device)
        cosine = F.normalize(key, dim=-1) @ F.normalize(reference, dim=-1).T
        total = total + 2 * F.cross_entropy(key @ reference.T, identity, reduction="sum")
        total = total + 3 * ((cosine - torch.eye(len(key), device=key.device)) ** 2).mean(1).sum()
        anchors += len(key)
    return total / max(anchors, 1)


def losses(outputs, embeddings, targets):
    loss, matches = head_losses(*outputs[-1], targets)
    for classes, masks in outputs[:-1]:
        loss = loss + head_losses(classes, masks, targets)[0]
    return loss + sum(contrastive_losses(embedding, matches) for embedding in embeddings)


def batch(frames, height, width, device="cpu"):
    """Four rectangles that move to the right, as in train_step_bench."""
    targets = []
    for frame in range(frames):
        masks = torch.zeros(4, height, width)
        for i in range(4):
            top, left = height * i // 8, width * i // 8 + 4 * frame
            masks[i, top:top + height // 2, left:left + width // 2] = 1
        targets.append((torch.arange(4, device=device), masks.to(device)))
    return torch.rand(frames, 3, height, width, device=device), targets


def parameter_groups(model):
    groups = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            rate = 1e-5 if name.startswith("backbone") else 1e-4
            decay = 0 if isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.Embedding)) else 0.05
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--steps", type=int, default=4)
    arguments.add_argument("--frames", type=int, default=2)
    arguments.add_argument("--height", type=int, default=256)
    arguments.add_argument("--width", type=int, default=448)
    arguments = arguments.parse_args()
    torch.manual_seed(1)
    model = Visage()
    optimizer = torch.optim.AdamW(parameter_groups(model))
    images, targets = batch(arguments.frames, arguments.height, arguments.width)
    parameters = list(model.parameters())
    print(f"parameters {sum(p.numel() for p in parameters)} in {len(parameters)} tensors,",
          f"threads {torch.get_num_threads()}")
    for step in range(-2, arguments.steps):  # two steps to warm up
        if step == 0:
            wall, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        loss = losses(*model(images), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.01)
        optimizer.step()
        print(f"loss {loss.item():.3f}", flush=True)
    wall, cpu = (time.perf_counter() - wall) / arguments.steps, (time.process_time() - cpu) / arguments.steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"wall {wall:.2f} s, CPU {cpu:.2f} s a step, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
