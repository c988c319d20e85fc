"""The training step of bench/train/train_step_bench.cpp in PyTorch, written the straightforward way: ResNet-50 with
frozen batch norms, deformable pixel decoder on grid_sample, masked-attention decoder, set-prediction and contrastive
losses, clipping, AdamW. Prints CPU and wall time of a step, the peak memory, the parameter count and the losses.

    apt-get install python3-torch python3-scipy libopenblas0-pthread
    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 /usr/bin/python3 bench/peers/train_step.py --steps 4
"""
import argparse
import math
import resource
import time

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn

CLASSES, QUERIES, HIDDEN, HEADS, POINTS, LEVELS = 40, 100, 256, 8, 4, 3
ENCODER_LAYERS, ENCODER_FFN, DECODER_LAYERS, DECODER_FFN = 6, 1024, 9, 2048
SAMPLED, OVERSAMPLE, IMPORTANCE = 12544, 3, 0.75


class FrozenBatchNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x):
        return F.batch_norm(x, self.mean, self.var, self.weight, self.bias, training=False, eps=1e-5)


def conv_norm(in_channels, out_channels, kernel, stride=1):
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, FrozenBatchNorm(out_channels))


class Bottleneck(nn.Module):
    def __init__(self, in_channels, middle, stride):
        super().__init__()
        out = 4 * middle
        self.conv1 = conv_norm(in_channels, middle, 1)
        self.conv2 = conv_norm(middle, middle, 3, stride)
        self.conv3 = conv_norm(middle, out, 1)
        self.shortcut = conv_norm(in_channels, out, 1, stride) if in_channels != out or stride != 1 else nn.Identity()

    def forward(self, x):
        y = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet50(nn.Module):
    channels = [256, 512, 1024, 2048]

    def __init__(self):
        super().__init__()
        self.stem = conv_norm(3, 64, 7, 2)
        stages, in_channels = [], 64
        for stage, blocks in enumerate([3, 4, 6, 3]):
            layers = []
            for block in range(blocks):
                layers.append(Bottleneck(in_channels, 64 << stage, 2 if stage > 0 and block == 0 else 1))
                in_channels = 256 << stage
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2, 1)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def sine_position(height, width, channels):
    half = channels // 2
    divisor = 10000 ** (2 * (torch.arange(half) // 2) / half)

    def code(length):
        angle = (torch.arange(1, length + 1) / (length + 1e-6) * 2 * math.pi)[:, None] / divisor
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), 2).flatten(1)

    y = code(height)[:, None].expand(height, width, half)
    x = code(width)[None].expand(height, width, half)
    return torch.cat((y, x), 2).flatten(0, 1)  # [H*W, C]


class DeformableAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.sampling_offsets = nn.Linear(HIDDEN, HEADS * LEVELS * POINTS * 2)
        self.attention_weights = nn.Linear(HIDDEN, HEADS * LEVELS * POINTS)
        self.value_proj = nn.Linear(HIDDEN, HIDDEN)
        self.output_proj = nn.Linear(HIDDEN, HIDDEN)
        nn.init.zeros_(self.sampling_offsets.weight)
        angle = torch.arange(HEADS) * (2 * math.pi / HEADS)
        grid = torch.stack((angle.cos(), angle.sin()), -1)
        grid = (grid / grid.abs().max(-1, keepdim=True)[0]).view(HEADS, 1, 1, 2).repeat(1, LEVELS, POINTS, 1)
        grid = grid * torch.arange(1, POINTS + 1).view(1, 1, POINTS, 1)
        self.sampling_offsets.bias = nn.Parameter(grid.flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)

    def forward(self, query, reference, tokens, shapes):
        batch, length, _ = tokens.shape
        value = self.value_proj(tokens).view(batch, length, HEADS, HIDDEN // HEADS)
        offsets = self.sampling_offsets(query).view(batch, length, HEADS, LEVELS, POINTS, 2)
        weights = self.attention_weights(query).view(batch, length, HEADS, LEVELS * POINTS).softmax(-1)
        size = torch.tensor([[w, h] for h, w in shapes], dtype=offsets.dtype)
        locations = reference[None, :, None, None, None] + offsets / size[None, None, None, :, None]
        grids = 2 * locations - 1
        sampled = []
        for level, image in enumerate(value.split([h * w for h, w in shapes], 1)):
            height, width = shapes[level]
            image = image.flatten(2).transpose(1, 2).reshape(batch * HEADS, HIDDEN // HEADS, height, width)
            grid = grids[:, :, :, level].transpose(1, 2).flatten(0, 1)
            sampled.append(F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
        weights = weights.transpose(1, 2).reshape(batch * HEADS, 1, length, LEVELS * POINTS)
        out = (torch.stack(sampled, -2).flatten(-2) * weights).sum(-1)
        return self.output_proj(out.view(batch, HIDDEN, length).transpose(1, 2))


class EncoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = DeformableAttention()
        self.norm1, self.norm2 = nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)
        self.linear1, self.linear2 = nn.Linear(HIDDEN, ENCODER_FFN), nn.Linear(ENCODER_FFN, HIDDEN)

    def forward(self, x, position, reference, shapes):
        x = self.norm1(x + self.attention(x + position, reference, x, shapes))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class PixelDecoder(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, HIDDEN, 1), nn.GroupNorm(32, HIDDEN)) for c in reversed(channels[1:]))
        self.level_embed = nn.Parameter(torch.randn(LEVELS, HIDDEN))
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(ENCODER_LAYERS))
        self.adapter = nn.Sequential(nn.Conv2d(channels[0], HIDDEN, 1, bias=False), nn.GroupNorm(32, HIDDEN))
        self.output = nn.Sequential(nn.Conv2d(HIDDEN, HIDDEN, 3, 1, 1, bias=False), nn.GroupNorm(32, HIDDEN), nn.ReLU())
        self.mask_features = nn.Conv2d(HIDDEN, HIDDEN, 1)

    def forward(self, features):
        tokens, shapes, position, reference = [], [], [], []
        for level, project in enumerate(self.input_proj):
            x = project(features[3 - level])
            height, width = x.shape[-2:]
            shapes.append((height, width))
            tokens.append(x.flatten(2).transpose(1, 2))
            position.append(sine_position(height, width, HIDDEN) + self.level_embed[level])
            y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width,
                                  indexing="ij")
            reference.append(torch.stack((x, y), -1).flatten(0, 1))
        tokens, position, reference = torch.cat(tokens, 1), torch.cat(position), torch.cat(reference)
        for layer in self.layers:
            tokens = layer(tokens, position, reference, shapes)
        levels = [t.transpose(1, 2).unflatten(2, shape)
                  for t, shape in zip(tokens.split([h * w for h, w in shapes], 1), shapes)]
        lateral = self.adapter(features[0])
        up = F.interpolate(levels[-1], size=lateral.shape[-2:], mode="bilinear", align_corners=False)
        return self.mask_features(self.output(lateral + up)), levels


class Mlp(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.cross = nn.MultiheadAttention(HIDDEN, HEADS, batch_first=True)
        self.self_attention = nn.MultiheadAttention(HIDDEN, HEADS, batch_first=True)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(HIDDEN) for _ in range(3))
        self.linear1, self.linear2 = nn.Linear(HIDDEN, DECODER_FFN), nn.Linear(DECODER_FFN, HIDDEN)

    def forward(self, x, query, keys, values, blocked):
        x = self.norm1(x + self.cross(x + query, keys, values, attn_mask=blocked, need_weights=False)[0])
        x = self.norm2(x + self.self_attention(x + query, x + query, x, need_weights=False)[0])
        return self.norm3(x + self.linear2(F.relu(self.linear1(x))))


class MaskedDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(DECODER_LAYERS))
        self.norm = nn.LayerNorm(HIDDEN)
        self.query_feat, self.query_embed = nn.Embedding(QUERIES, HIDDEN), nn.Embedding(QUERIES, HIDDEN)
        self.level_embed = nn.Embedding(LEVELS, HIDDEN)
        self.class_embed = nn.Linear(HIDDEN, CLASSES + 1)
        self.mask_embed = Mlp([HIDDEN] * 4)

    def predict(self, x, mask_features, size):
        normed = self.norm(x)
        masks = torch.einsum("bqc,bchw->bqhw", self.mask_embed(normed), mask_features)
        resized = F.interpolate(masks.detach(), size=size, mode="bilinear", align_corners=False)
        blocked = (resized.sigmoid() < 0.5).flatten(2)
        blocked &= ~blocked.all(-1, keepdim=True)  # a query that sees nothing sees everything
        return self.class_embed(normed), masks, blocked.repeat_interleave(HEADS, 0)

    def forward(self, mask_features, levels):
        keys, values, sizes = [], [], []
        for level, image in enumerate(levels):
            values.append(image.flatten(2).transpose(1, 2) + self.level_embed.weight[level])
            keys.append(values[-1] + sine_position(*image.shape[-2:], HIDDEN))
            sizes.append(image.shape[-2:])
        x = self.query_feat.weight.expand(mask_features.shape[0], -1, -1)
        outputs = []
        for i in range(DECODER_LAYERS + 1):
            classes, masks, blocked = self.predict(x, mask_features, sizes[i % LEVELS])
            outputs.append((classes, masks))
            if i < DECODER_LAYERS:
                x = self.layers[i](x, self.query_embed.weight, keys[i % LEVELS], values[i % LEVELS], blocked)
        return outputs, self.norm(x)


class Appearance(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, HIDDEN, 1), nn.GroupNorm(32, HIDDEN)) for c in channels[1:])
        self.object_embed = Mlp([HIDDEN] * 4)
        self.appearance_embed = Mlp([LEVELS * HIDDEN] + [HIDDEN] * 3)

    def forward(self, queries, features, masks):
        pooled = []
        for project, image in zip(self.projections, features[1:]):
            image = project(image.detach())
            inside = F.interpolate(masks.detach(), size=image.shape[-2:], mode="bilinear", align_corners=False)
            inside = (inside.sigmoid() > 0.5).float()
            total = torch.einsum("bqhw,bchw->bqc", inside, image)
            pooled.append(total / (inside.sum((2, 3))[..., None] + 1e-6))
        return self.object_embed(queries), self.appearance_embed(torch.cat(pooled, -1))


class Visage(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = ResNet50()
        self.pixel_decoder = PixelDecoder(ResNet50.channels)
        self.decoder = MaskedDecoder()
        self.appearance = Appearance(ResNet50.channels)

    def forward(self, images):
        features = self.backbone(images)
        mask_features, levels = self.pixel_decoder(features)
        outputs, queries = self.decoder(mask_features, levels)
        return outputs, self.appearance(queries, features, outputs[-1][1])


def point_sample(images, points):
    """images [N, C, H, W], points [N, P, 2] in the unit square -> [N, C, P]."""
    return F.grid_sample(images, 2 * points[:, :, None] - 1, align_corners=False).squeeze(3)


@torch.no_grad()
def match(classes, masks, labels, truth):
    """One frame: classes [Q, K + 1], masks [Q, h, w], truth [I, H, W]."""
    points = torch.rand(1, SAMPLED, 2)
    x, t = point_sample(masks[None], points)[0], point_sample(truth[None], points)[0]
    p = x.sigmoid()
    ce = (F.softplus(-x) @ t.T + F.softplus(x) @ (1 - t).T) / SAMPLED
    dice = 1 - (2 * p @ t.T + 1) / (p.sum(-1)[:, None] + t.sum(-1)[None] + 1)
    cost = 5 * ce - 2 * classes.softmax(-1)[:, labels] + 5 * dice
    return [torch.as_tensor(i) for i in linear_sum_assignment(cost.numpy())]


def uncertain_points(masks):
    candidates = torch.rand(len(masks), OVERSAMPLE * SAMPLED, 2)
    certain = int(IMPORTANCE * SAMPLED)
    nearest = (-point_sample(masks[:, None], candidates)[:, 0].abs()).topk(certain, 1)[1]
    chosen = candidates.gather(1, nearest[..., None].expand(-1, -1, 2))
    return torch.cat((chosen, torch.rand(len(masks), SAMPLED - certain, 2)), 1)


def head_losses(classes, masks, targets):
    matches = [match(classes[n].detach(), masks[n].detach(), *targets[n]) for n in range(len(targets))]
    labels = torch.full(classes.shape[:2], CLASSES)
    for n, (queries, instances) in enumerate(matches):
        labels[n, queries] = targets[n][0][instances]
    weights = torch.ones(CLASSES + 1)
    weights[CLASSES] = 0.1
    ce = F.cross_entropy(classes.transpose(1, 2), labels, weights)
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
        identity = torch.arange(len(key))
        cosine = F.normalize(key, dim=-1) @ F.normalize(reference, dim=-1).T
        total = total + 2 * F.cross_entropy(key @ reference.T, identity, reduction="sum")
        total = total + 3 * ((cosine - torch.eye(len(key))) ** 2).mean(1).sum()
        anchors += len(key)
    return total / max(anchors, 1)


def loss_of(model, images, targets):
    outputs, embeddings = model(images)
    loss, matches = head_losses(*outputs[-1], targets)
    for classes, masks in outputs[:-1]:
        loss = loss + head_losses(classes, masks, targets)[0]
    return loss + sum(contrastive_losses(embedding, matches) for embedding in embeddings)


def batch(frames, height, width):
    """Four rectangles that move to the right, as in train_step_bench."""
    targets = []
    for frame in range(frames):
        masks = torch.zeros(4, height, width)
        for i in range(4):
            top, left = height * i // 8, width * i // 8 + 4 * frame
            masks[i, top:top + height // 2, left:left + width // 2] = 1
        targets.append((torch.arange(4), masks))
    return torch.rand(frames, 3, height, width), targets


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
        loss = loss_of(model, images, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.01)
        optimizer.step()
        print(f"loss {loss.item():.3f}", flush=True)
    wall, cpu = (time.perf_counter() - wall) / arguments.steps, (time.process_time() - cpu) / arguments.steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"wall {wall:.2f} s, CPU {cpu:.2f} s a step, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
