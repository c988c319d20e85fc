"""The network of VISAGE in PyTorch, written the straightforward way: ResNet-50 with frozen batch norms, deformable
pixel decoder on grid_sample, masked-attention decoder, appearance head. The parameters are those of the official code
under shorter names; load() reads a file of `visage inspect --make-test-weights`.
"""
import functools
import json
import math
import re
import struct

import torch
import torch.nn.functional as F
from torch import nn

CLASSES, QUERIES, HIDDEN, HEADS, POINTS, LEVELS = 40, 100, 256, 8, 4, 3
ENCODER_LAYERS, ENCODER_FFN, DECODER_LAYERS, DECODER_FFN = 6, 1024, 9, 2048


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


@functools.lru_cache(maxsize=None)
def sine_position(height, width, channels, device):
    half = channels // 2
    divisor = 10000 ** (2 * (torch.arange(half, device=device) // 2) / half)

    def code(length):
        angle = (torch.arange(1, length + 1, device=device) / (length + 1e-6) * 2 * math.pi)[:, None] / divisor
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), 2).flatten(1)

    y = code(height)[:, None].expand(height, width, half)
    x = code(width)[None].expand(height, width, half)
    return torch.cat((y, x), 2).flatten(0, 1)  # [H*W, C]


@functools.lru_cache(maxsize=None)
def reference_points(height, width, device):
    y, x = torch.meshgrid((torch.arange(height, device=device) + 0.5) / height,
                          (torch.arange(width, device=device) + 0.5) / width, indexing="ij")
    return torch.stack((x, y), -1).flatten(0, 1)  # [H*W, 2]


@functools.lru_cache(maxsize=None)
def level_sizes(shapes, device):
    return torch.tensor([[w, h] for h, w in shapes], dtype=torch.float32, device=device)


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
        size = level_sizes(tuple(shapes), str(offsets.device))
        locations = reference[None, :, None, None, None] + offsets / size[None, None, None, :, None]
        grids = (2 * locations - 1).to(value.dtype)
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
            position.append(sine_position(height, width, HIDDEN, str(x.device)) + self.level_embed[level])
            reference.append(reference_points(height, width, str(x.device)))
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
            keys.append(values[-1] + sine_position(*image.shape[-2:], HIDDEN, str(image.device)))
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


# Of the official names, in this order.
RENAMES = [(pattern, name) for pattern, name in (
    (r"^sem_seg_head\.pixel_decoder\.transformer\.(encoder\.)?", "pixel_decoder."),
    (r"^sem_seg_head\.pixel_decoder\.adapter_1\.norm\.", "pixel_decoder.adapter.1."),
    (r"^sem_seg_head\.pixel_decoder\.adapter_1\.", "pixel_decoder.adapter.0."),
    (r"^sem_seg_head\.pixel_decoder\.layer_1\.norm\.", "pixel_decoder.output.1."),
    (r"^sem_seg_head\.pixel_decoder\.layer_1\.", "pixel_decoder.output.0."),
    (r"^sem_seg_head\.pixel_decoder\.", "pixel_decoder."),
    (r"(pixel_decoder\.layers\.\d+)\.self_attn\.", r"\1.attention."),
    (r"^sem_seg_head\.predictor\.", "decoder."),
    (r"transformer_cross_attention_layers\.(\d+)\.multihead_attn\.", r"layers.\1.cross."),
    (r"transformer_cross_attention_layers\.(\d+)\.norm\.", r"layers.\1.norm1."),
    (r"transformer_self_attention_layers\.(\d+)\.self_attn\.", r"layers.\1.self_attention."),
    (r"transformer_self_attention_layers\.(\d+)\.norm\.", r"layers.\1.norm2."),
    (r"transformer_ffn_layers\.(\d+)\.norm\.", r"layers.\1.norm3."),
    (r"transformer_ffn_layers\.(\d+)\.", r"layers.\1."),
    (r"decoder\.decoder_norm\.", "decoder.norm."),
    (r"^appearance_decoder\.input_proj\.(\d+)\.0\.norm\.", r"appearance.projections.\1.1."),
    (r"^appearance_decoder\.input_proj\.", "appearance.projections."),
    (r"^appearance_decoder\.appearance_embd\.", "appearance.appearance_embed."),
    (r"^appearance_decoder\.reid_embd\.", "appearance.object_embed."),
    (r"^backbone\.res(\d)\.", lambda m: f"backbone.stages.{int(m[1]) - 2}."),
    (r"^backbone\.stem\.conv1\.", "backbone.stem."),
    (r"^(backbone\..*)norm\.(running_)?", r"\g<1>1."),
    (r"^(backbone\..*(?:stem|conv\d|shortcut))\.weight$", r"\1.0.weight"),
)]


def read_safetensors(path):
    """Every tensor of a file, by name."""
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    return {name: torch.frombuffer(data, dtype=types[entry["dtype"]], offset=entry["data_offsets"][0],
                                   count=math.prod(entry["shape"])).view(entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}


def load(model, path):
    """Weights under official names; everything must fit."""
    state = {}
    for name, tensor in read_safetensors(path).items():
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        if not name.startswith("criterion."):
            state[name] = tensor
    model.load_state_dict(state)
    return model
