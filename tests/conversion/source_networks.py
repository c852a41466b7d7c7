"""Networks in the published layouts, built from the facts known about them.

Written for these tests from descriptions of the layouts: names of tensors, order of
operations, neurons. A plain loop over time stands in for every neuron.
"""

import torch
from torch import nn


def fire(x, keep, gain=1.0, threshold=1.0):
    """Hard-reset neuron: u = keep v + gain x."""
    v, spikes = torch.zeros_like(x[0]), []
    for current in x:
        u = keep * v + gain * current
        spikes.append((u >= threshold).to(x.dtype))
        v = u * (1 - spikes[-1])
    return torch.stack(spikes)


def lif(x, threshold=1.0):
    """tau = 2 with decay of the input: u = v + (x - v) / 2."""
    return fire(x, 0.5, 0.5, threshold)


def integrate(x):
    """No leak."""
    return fire(x, 1.0)


def leaky_half(x):
    """MS-ResNet's neuron: a quarter is kept, threshold 0.5."""
    return fire(x, 0.25, 1.0, 0.5)


def over_time(module, x):
    return module(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Attention(nn.Module):
    def __init__(self, kind, dims, heads, scale):
        super().__init__()
        self.kind, self.heads, self.scale = kind, heads, scale
        for name in ("q", "k", "v", "proj"):
            layer = (
                nn.Linear(dims, dims)
                if kind == "linear"
                else nn.Conv1d(dims, dims, 1, bias=name == "proj")
            )
            self.add_module(f"{name}_{kind}", layer)
            self.add_module(f"{name}_bn", nn.BatchNorm1d(dims))

    def unit(self, name, x):
        """Spikes [T, N, C, L] of one of the four layers."""
        layer = self.get_submodule(f"{name}_{self.kind}")
        frames = x.flatten(0, 1)
        out = layer(frames.mT).mT if self.kind == "linear" else layer(frames)
        out = self.get_submodule(f"{name}_bn")(out)
        return lif(out.unflatten(0, x.shape[:2]))

    def forward(self, x):
        steps, samples, dims, tokens = x.shape
        q, k, v = (
            self.unit(name, x)
            .reshape(steps, samples, self.heads, dims // self.heads, tokens)
            .mT
            for name in "qkv"
        )
        out = (q @ k.mT @ v) * self.scale
        out = lif(out.mT.reshape(x.shape), 0.5)
        return self.unit("proj", out)


class MLP(nn.Module):
    def __init__(self, kind, dims, axes):
        super().__init__()
        self.kind, self.axes = kind, axes
        conv, batch_norm = {
            1: (nn.Conv1d, nn.BatchNorm1d),
            2: (nn.Conv2d, nn.BatchNorm2d),
        }[axes]
        for name, i, o in (("fc1", dims, 4 * dims), ("fc2", 4 * dims, dims)):
            layer = nn.Linear(i, o) if kind == "linear" else conv(i, o, 1)
            self.add_module(f"{name}_{kind}", layer)
            self.add_module(f"{name}_bn", batch_norm(o))

    def forward(self, x):
        for name in ("fc1", "fc2"):
            layer = self.get_submodule(f"{name}_{self.kind}")
            norm = self.get_submodule(f"{name}_bn")
            frames = x.flatten(0, 1)
            if self.kind == "linear":
                out = norm(layer(frames.mT).mT)
            elif self.axes == 1:
                out = norm(layer(frames))
            else:
                out = norm(layer(frames[..., None]))[..., 0]
            x = lif(out.unflatten(0, x.shape[:2]))
        return x


class Block(nn.Module):
    def __init__(self, kind, dims, heads, axes, scale):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dims), nn.LayerNorm(dims)  # never used
        self.attn = Attention(kind, dims, heads, scale)
        self.mlp = MLP(kind, dims, axes)


class OfficialSpikformer(nn.Module):
    """Spikformer as published: q, k and v apart, pooled after the neuron."""

    def __init__(self, stem, dims, depth, heads):
        super().__init__()
        kind, axes = {"imagenet": ("conv", 2), "cifar": ("linear", 1)}.get(
            stem, ("conv", 1)
        )
        self.pooled = (2, 3) if stem == "cifar" else (0, 1, 2, 3)
        self.in_channels = 2 if stem == "dvs" else 3
        scale = 0.25 if stem == "dvs" else 0.125
        embed = nn.Module()
        channels = [self.in_channels, dims // 8, dims // 4, dims // 2, dims]
        for index, number in enumerate(("", "1", "2", "3")):
            i, o = channels[index : index + 2]
            embed.add_module(
                f"proj_conv{number}", nn.Conv2d(i, o, 3, padding=1, bias=False)
            )
            embed.add_module(f"proj_bn{number}", nn.BatchNorm2d(o))
        embed.rpe_conv = nn.Conv2d(dims, dims, 3, padding=1, bias=False)
        embed.rpe_bn = nn.BatchNorm2d(dims)
        self.patch_embed = embed
        self.block = nn.ModuleList(
            Block(kind, dims, heads, axes, scale) for _ in range(depth)
        )
        if stem == "dvs":  # never used
            self.pos_embed = nn.Parameter(torch.zeros(1, 64, dims))
            self.norm = nn.LayerNorm(dims)
        self.head = nn.Linear(dims, 2)

    def features(self, image, steps):
        embed, x = self.patch_embed, image.expand(steps, *image.shape)
        for index, number in enumerate(("", "1", "2", "3")):
            conv = embed.get_submodule(f"proj_conv{number}")
            norm = embed.get_submodule(f"proj_bn{number}")
            x = lif(over_time(nn.Sequential(conv, norm), x))
            if index in self.pooled:
                x = over_time(nn.MaxPool2d(3, 2, 1), x)
        position = nn.Sequential(embed.rpe_conv, embed.rpe_bn)
        x = lif(over_time(position, x)) + x
        size, x = x.shape, x.flatten(3)
        for block in self.block:
            x = x + block.attn(x)
            x = x + block.mlp(x)
        return x.reshape(size)


class Contained(nn.Module):
    """Layers below the name ``module``."""

    def __init__(self, *layers):
        super().__init__()
        self.module = nn.Sequential(*layers)


def convolution(i, o, kernel, stride=1):
    return nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=False)


class OfficialSEW(nn.Module):
    """SEW-ResNet-18 in its repository's layout, narrow."""

    shortcut_neuron, blocks, width = True, (2, 2, 2, 2), 16

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = convolution(3, self.width, 7, 2), nn.BatchNorm2d(16)
        width = self.width
        for index, number in enumerate(self.blocks):
            out, stage = self.width * 2**index, nn.Sequential()
            for position in range(number):
                stride = 2 if index and position == 0 else 1
                stage.append(self.make_block(width, out, stride))
                width = out
            self.add_module(f"layer{index + 1}", stage)
        self.fc = nn.Linear(width, 2)

    def make_block(self, width, out, stride):
        block = nn.Module()
        block.conv1 = Contained(convolution(width, out, 3, stride), nn.BatchNorm2d(out))
        block.conv2 = Contained(convolution(out, out, 3), nn.BatchNorm2d(out))
        block.downsample = None
        if stride != 1 or width != out:
            contained = Contained(
                convolution(width, out, 1, stride), nn.BatchNorm2d(out)
            )
            block.downsample = (
                nn.Sequential(contained) if self.shortcut_neuron else contained
            )
        return block

    def features(self, image, steps):
        x = self.bn1(self.conv1(image))
        x = over_time(nn.MaxPool2d(3, 2, 1), integrate(x.expand(steps, *x.shape)))
        for index in range(4):
            for block in self.get_submodule(f"layer{index + 1}"):
                x = self.run(block, x)
        return x

    def run(self, block, x):
        out = integrate(over_time(block.conv1.module, x))
        out = integrate(over_time(block.conv2.module, out))
        if block.downsample is not None:
            x = integrate(over_time(block.downsample[0].module, x))
        return out + x


class OfficialSpiking(OfficialSEW):
    """The plain spiking ResNet of the same repository."""

    shortcut_neuron = False

    def run(self, block, x):
        out = integrate(over_time(block.conv1.module, x))
        out = over_time(block.conv2.module, out)
        if block.downsample is not None:
            x = over_time(block.downsample.module, x)
        return integrate(out + x)


class TimeNorm(nn.Module):
    """Batch norm over [N, C, T, H, W], below the name ``bn``."""

    def __init__(self, channels):
        super().__init__()
        self.bn = nn.BatchNorm3d(channels)

    def forward(self, x):
        return self.bn(x.permute(1, 2, 0, 3, 4)).permute(2, 0, 1, 3, 4)


class TimeConv(nn.Conv2d):
    def forward(self, x):
        return torch.stack([super(TimeConv, self).forward(frame) for frame in x])


class MSResNet(nn.Module):
    """MS-ResNet-18 in its repository's layout, narrow."""

    width = 16

    def __init__(self):
        super().__init__()
        conv = TimeConv(3, self.width, 7, 2, 3, bias=False)
        self.conv1 = nn.Sequential(conv, TimeNorm(self.width))
        width = self.width
        for index in range(4):
            out = self.width * 2**index
            blocks = [self.make_block(width, out, 2), self.make_block(out, out, 1)]
            self.add_module(f"conv{index + 2}_x", nn.Sequential(*blocks))
            width = out
        self.fc = nn.Linear(width, 2)

    def make_block(self, width, out, stride):
        block = nn.Module()
        block.residual_function = nn.Sequential(
            nn.Identity(),
            TimeConv(width, out, 3, stride, 1, bias=False),
            TimeNorm(out),
            nn.Identity(),
            TimeConv(out, out, 3, 1, 1, bias=False),
            TimeNorm(out),
        )
        block.shortcut = nn.Sequential()
        if stride != 1 or width != out:
            shortcut = TimeConv(width, out, 1, stride, bias=False)
            block.shortcut = nn.Sequential(shortcut, TimeNorm(out))
        return block

    def features(self, image, steps):
        x = self.conv1(image.expand(steps, *image.shape))
        for index in range(4):
            for block in self.get_submodule(f"conv{index + 2}_x"):
                first, second = (
                    block.residual_function[1:3],
                    block.residual_function[4:],
                )
                out = second(leaky_half(first(leaky_half(x))))
                x = out + block.shortcut(x)
        return leaky_half(x)
