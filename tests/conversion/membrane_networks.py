"""Membrane-shortcut networks in the published layouts, built from facts about them.

Written for these tests from descriptions of the layouts: names of tensors, order of
operations, neurons. Each has ``stages(image, steps)``: its currents at each stride.
"""

import torch.nn.functional as F
from source_networks import lif, over_time
from torch import nn


def pool(x):
    return over_time(nn.MaxPool2d(3, 2, 1), x)


def integer(x):
    """round(clamp(x, 0, 4)) / 4."""
    return x.clamp(0, 4).round() / 4


def add(module, name, layer):
    module.add_module(name, layer)


def add_pair(module, conv, norm, layer):
    """Add a convolution and its batch norm below two names."""
    channels = layer.out_channels
    norms = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
    add(module, conv, layer)
    add(module, norm, norms[layer.weight.dim() - 2](channels))


def run_pair(module, conv, norm, x):
    """Apply a convolution, 1-D over the positions or 2-D, and its batch norm."""
    conv, norm = module.get_submodule(conv), module.get_submodule(norm)
    flat = conv.weight.dim() == 3
    frames = x.flatten(0, 1)
    out = norm(conv(frames.flatten(2) if flat else frames))
    if flat:
        out = out.unflatten(2, x.shape[-2:])
    return out.unflatten(0, x.shape[:2])


def plain(i, o, kernel=1, stride=1, bias=False, groups=1):
    return nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=bias, groups=groups)


def flat(i, o, bias=False):
    return nn.Conv1d(i, o, 1, bias=bias)


def split(x, heads):
    """Tokens [T, N, heads, L, d] of maps."""
    return x.flatten(3).unflatten(2, (heads, -1)).mT


def join(x, like):
    return x.mT.flatten(2, 3).unflatten(3, like.shape[-2:])


def products(q, k, v, heads, factor):
    q, k, v = (split(x, heads) for x in (q, k, v))
    return (q @ k.mT) @ v * factor


class Attention(nn.Module):
    """q, k, v and proj with biases at proj only; subclasses say what they do."""

    def __init__(self, dims, heads, layer):
        super().__init__()
        self.heads = heads
        for name in ("q", "k", "v", "proj"):
            bias = name == "proj"
            add_pair(self, f"{name}_conv", f"{name}_bn", layer(dims, dims, bias=bias))

    def unit(self, name, x):
        return run_pair(self, f"{name}_conv", f"{name}_bn", x)

    def qkv(self, x):
        s = lif(x)
        return [lif(self.unit(name, s)) for name in "qkv"]

    def forward(self, x):
        q, k, v = self.qkv(x)
        a = join(lif(products(q, k, v, self.heads, 0.125), 0.5), x)
        return x + self.unit("proj", a)


class DrivenAttention(Attention):
    def __init__(self, dims, heads):
        super().__init__(dims, heads, plain)
        self.talking_heads = nn.Conv1d(heads, heads, 1, bias=False)  # never used

    def forward(self, x):
        q, k, v = self.qkv(x)
        kv = lif((k * v).sum((-2, -1), keepdim=True), 0.5)
        return x + self.unit("proj", q * kv)


class MLP(nn.Module):
    def __init__(self, dims, ratio, names, layer, residual=False):
        super().__init__()
        self.names, self.residual = names, residual and ratio == 1
        for name, i, o in zip(
            names, (dims, ratio * dims), (ratio * dims, dims), strict=True
        ):
            add_pair(self, f"{name}_conv", f"{name}_bn", layer(i, o, bias=True))

    def forward(self, x):
        first, second = self.names
        y = run_pair(self, f"{first}_conv", f"{first}_bn", lif(x))
        if self.residual:
            y = x = y + x
        return x + run_pair(self, f"{second}_conv", f"{second}_bn", lif(y))


class Block(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            add(self, name, part)
        self.parts = list(parts)

    def forward(self, x):
        for name in self.parts:
            x = self.get_submodule(name)(x)
        return x


class SDTV1(nn.Module):
    def __init__(self, dims, depth, heads, ratio):
        super().__init__()
        self.patch_embed = nn.Module()
        channels = [3, dims // 8, dims // 4, dims // 2, dims]
        for index, number in enumerate(("", "1", "2", "3")):
            layer = plain(*channels[index : index + 2], 3)
            add_pair(self.patch_embed, f"proj_conv{number}", f"proj_bn{number}", layer)
        add_pair(self.patch_embed, "rpe_conv", "rpe_bn", plain(dims, dims, 3))
        self.block = nn.ModuleList(
            Block(
                attn=DrivenAttention(dims, heads),
                mlp=MLP(dims, ratio, ("fc1", "fc2"), plain, residual=True),
            )
            for _ in range(depth)
        )
        self.head = nn.Linear(dims, 5)

    def stages(self, image, steps):
        x, maps = image.expand(steps, *image.shape), []
        embed = self.patch_embed
        for number in ("", "1", "2"):
            x = lif(run_pair(embed, f"proj_conv{number}", f"proj_bn{number}", x))
            x = pool(x)
            maps.append(x)
        x = pool(run_pair(embed, "proj_conv3", "proj_bn3", x))
        x = run_pair(embed, "rpe_conv", "rpe_bn", lif(x)) + x
        for block in self.block:
            x = block(x)
        return [*maps[1:], x]

    def logits(self, x):
        return self.head(lif(x.mean((-2, -1)))).mean(0)


class SpikingformerNet(nn.Module):
    def __init__(self, dims, depth, heads):
        super().__init__()
        self.patch_embed = nn.Module()
        channels = [3, dims // 8, dims // 4, dims // 2, dims, dims]
        for index, number in enumerate(("", "1", "2", "3", "4")):
            layer = plain(*channels[index : index + 2], 3)
            add_pair(self.patch_embed, f"proj{number}_conv", f"proj{number}_bn", layer)
        self.block = nn.ModuleList(
            Block(
                attn=Attention(dims, heads, flat),
                mlp=MLP(dims, 4, ("mlp1", "mlp2"), plain),
            )
            for _ in range(depth)
        )
        for block in self.block:  # never used
            block.norm1, block.norm2 = nn.LayerNorm(dims), nn.LayerNorm(dims)
        self.head = nn.Linear(dims, 5)

    def stages(self, image, steps):
        x, maps = image.expand(steps, *image.shape), []
        x = run_pair(self.patch_embed, "proj_conv", "proj_bn", x)
        for number in "1234":
            x = pool(lif(x))
            x = run_pair(self.patch_embed, f"proj{number}_conv", f"proj{number}_bn", x)
            maps.append(x)
        for block in self.block:
            x = block(x)
        return [*maps[1:3], x]

    def logits(self, x):
        return self.head(x.mean((-2, -1)).mean(0))


class Depthwise(nn.Module):
    def __init__(self, dims, kernel, name):
        super().__init__()
        self.name = name
        layer = plain(dims, dims, kernel, bias=True, groups=dims)
        add_pair(self, name, f"{name}_bn", layer)

    def forward(self, x):
        return x + run_pair(self, self.name, f"{self.name}_bn", lif(x))


NOW = (
    tuple(f"embed{i}.embed" for i in (1, 2, 3, 4)),
    ("max_embed1.embed", "embed1.embed", "max_embed2.embed"),
)
RELEASED = (("proj", "proj1", "proj2", "proj_res"), ("proj3", "proj4", "proj_res"))


class MaxFormerNet(nn.Module):
    def __init__(self, dims, depths, ratio, names=NOW):
        super().__init__()
        self.names, widths = names, (dims // 4, dims // 2, dims)
        half = widths[0] // 2
        self.patch_embed1 = self.embedding(
            names[0],
            plain(3, half, 3, 2),
            plain(half, widths[0], 3, 2),
            plain(widths[0], widths[0], 3),
            plain(half, widths[0], 1, 2),
        )
        for number, (i, o) in enumerate(((dims // 4, dims // 2), (dims // 2, dims)), 2):
            embedding = self.embedding(
                names[1], plain(i, o, 3), plain(o, o, 3), plain(i, o)
            )
            add(self, f"patch_embed{number}", embedding)
        kernels = ((7, "conv5"), (5, "conv"))
        for number, (width, depth) in enumerate(zip(widths, depths, strict=True), 1):
            stage = nn.ModuleList()
            for _ in range(depth):
                mlp = MLP(width, ratio, ("fc1", "fc2"), plain, residual=True)
                if number < 3:
                    mixer = Depthwise(width, *kernels[number - 1])
                    stage.append(Block(mixer=mixer, mlp=mlp))
                else:
                    heads = max(1, dims // 64)
                    stage.append(Block(attn=Attention(width, heads, flat), mlp=mlp))
            add(self, f"stage{number}", stage)
        self.head = nn.Linear(dims, 5)

    @staticmethod
    def embedding(names, *layers):
        module = nn.Module()
        for name, layer in zip(names, layers, strict=True):
            parent, _, last = name.rpartition(".")
            inner = module
            if parent:
                inner = nn.Module()
                add(module, parent, inner)
            add_pair(inner, f"{last}_conv", f"{last}_bn", layer)
        return module

    def run(self, number, name, x):
        embedding = self.get_submodule(f"patch_embed{number}")
        return run_pair(embedding, f"{name}_conv", f"{name}_bn", x)

    def stages(self, image, steps):
        x, maps = image.expand(steps, *image.shape), []
        e1, e2, e3, e4 = self.names[0]
        s = lif(self.run(1, e1, x))
        x = self.run(1, e3, lif(self.run(1, e2, s))) + self.run(1, e4, s)
        first, second, shortcut = self.names[1]
        for number in (1, 2, 3):
            if number > 1:
                s = lif(x)
                branch = lif(pool(self.run(number, first, s)))
                x = self.run(number, second, branch) + pool(
                    self.run(number, shortcut, s)
                )
            for block in self.get_submodule(f"stage{number}"):
                x = block(x)
            maps.append(x)
        return maps

    def logits(self, x):
        return self.head(lif(x.mean((-2, -1)))).mean(0)


class RepConv(nn.Module):
    """Zero padding of the input is the same in eval mode; the border is another way."""

    def __init__(self, dims):
        super().__init__()
        norm = nn.Module()
        norm.bn = nn.BatchNorm2d(dims)
        last = nn.Sequential(
            nn.Conv2d(dims, dims, 3, groups=dims, bias=False),
            nn.Conv2d(dims, dims, 1, bias=False),
            nn.BatchNorm2d(dims),
        )
        self.body = nn.ModuleList([nn.Conv2d(dims, dims, 1, bias=False), norm, last])

    def forward(self, x):
        padded = F.pad(x, (1, 1, 1, 1))
        return self.body[2](self.body[1].bn(self.body[0](padded)))


class RepAttention(nn.Module):
    def __init__(self, dims, heads):
        super().__init__()
        self.heads = heads
        for name in ("q", "k", "v", "proj"):
            pair = nn.Sequential(RepConv(dims), nn.BatchNorm2d(dims))
            add(self, f"{name}_conv", pair)

    def forward(self, x):
        s = lif(x)
        q, k, v = (lif(over_time(self.get_submodule(f"{n}_conv"), s)) for n in "qkv")
        a = join(lif(products(q, k, v, self.heads, 0.125), 0.5), x)
        return x + over_time(self.proj_conv, a)


class Separable(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.pwconv1, self.bn1 = plain(dims, 2 * dims), nn.BatchNorm2d(2 * dims)
        self.dwconv = plain(2 * dims, 2 * dims, 7, groups=2 * dims)
        self.pwconv2, self.bn2 = plain(2 * dims, dims), nn.BatchNorm2d(dims)

    def forward(self, x):
        y = lif(run_pair(self, "pwconv1", "bn1", lif(x)))
        last = nn.Sequential(self.dwconv, self.pwconv2, self.bn2)
        return x + over_time(last, y)


class ConvBlock(nn.Module):
    def __init__(self, dims, conv, fire=lif):
        super().__init__()
        self.Conv, self.fire = conv, fire
        add_pair(self, "conv1", "bn1", plain(dims, 4 * dims, 3))
        add_pair(self, "conv2", "bn2", plain(4 * dims, dims, 3))

    def forward(self, x):
        x = self.Conv(x)
        y = self.fire(run_pair(self, "conv1", "bn1", self.fire(x)))
        return x + run_pair(self, "conv2", "bn2", y)


class Down(nn.Module):
    def __init__(self, i, o, kernel, stride, fire):
        super().__init__()
        self.fire = fire
        add_pair(self, "encode_conv", "encode_bn", plain(i, o, kernel, stride, True))

    def forward(self, x):
        x = self.fire(x) if self.fire else x
        return run_pair(self, "encode_conv", "encode_bn", x)


class SDTV2(nn.Module):
    """The stage plan, with SDT-V2's blocks."""

    fire = staticmethod(lif)

    def __init__(self, dims, heads=8, kd=False):
        super().__init__()
        a, b, c, d = dims
        for name, i, o, kernel, stride, fire in (
            ("1_1", 3, a // 2, 7, 2, None),
            ("1_2", a // 2, a, 3, 2, self.fire),
            ("2", a, b, 3, 2, self.fire),
            ("3", b, c, 3, 2, self.fire),
            ("4", c, d, 3, 1, self.fire),
        ):
            add(self, f"downsample{name}", Down(i, o, kernel, stride, fire))
        for name, width in (("1_1", a // 2), ("1_2", a), ("2_1", b), ("2_2", b)):
            add(self, f"ConvBlock{name}", nn.ModuleList([self.conv_block(width)]))
        for name, width, depth in (("3", c, 6), ("4", d, 2)):
            blocks = nn.ModuleList(self.block(width, heads) for _ in range(depth))
            add(self, f"block{name}", blocks)
        self.head = nn.Linear(d, 5)
        if kd:
            self.head_kd = nn.Linear(d, 5)

    def conv_block(self, width):
        return ConvBlock(width, Separable(width))

    def block(self, width, heads):
        mlp = MLP(width, 4, ("fc1", "fc2"), flat)
        return Block(attn=RepAttention(width, heads), mlp=mlp)

    def apply_all(self, names, x):
        for name in names:
            module = self.get_submodule(name)
            for layer in module if isinstance(module, nn.ModuleList) else [module]:
                x = layer(x)
        return x

    def stages(self, image, steps):
        x, maps = image.expand(steps, *image.shape), []
        for names in (
            ("downsample1_1", "ConvBlock1_1", "downsample1_2", "ConvBlock1_2"),
            ("downsample2", "ConvBlock2_1", "ConvBlock2_2"),
            ("downsample3", "block3"),
            ("downsample4", "block4"),
        ):
            x = self.apply_all(names, x)
            maps.append(x)
        return maps

    def logits(self, x):
        s = lif(x.mean((-2, -1)))
        if hasattr(self, "head_kd"):
            return ((self.head(s) + self.head_kd(s)) / 2).mean(0)
        return self.head(s).mean(0)


class DenseSeparable(nn.Module):
    def __init__(self, dims, kernel):
        super().__init__()
        wide = 2 * dims
        layers = dict(
            pwconv1=plain(dims, wide),
            dwconv=plain(wide, wide, kernel, groups=wide),
            pwconv2=plain(wide, dims),
        )
        for name, layer in layers.items():
            norm = nn.BatchNorm2d(layer.out_channels)
            add(self, name, nn.Sequential(layer, norm))

    def forward(self, x):
        y = x
        for layer in (self.pwconv1, self.dwconv, self.pwconv2):
            y = over_time(layer, integer(y))
        return x + y


class WideAttention(nn.Module):
    def __init__(self, dims, heads):
        super().__init__()
        self.heads, self.factor = heads, 2 / (dims / heads) ** 0.5
        for name, i, o in (
            *((name, dims, dims) for name in "qk"),
            ("v", dims, 4 * dims),
            ("proj", 4 * dims, dims),
        ):
            add(self, f"{name}_conv", nn.Sequential(plain(i, o), nn.BatchNorm2d(o)))

    def forward(self, x):
        s = integer(x)
        q, k, v = (
            integer(over_time(self.get_submodule(f"{n}_conv"), s)) for n in "qkv"
        )
        a = join(integer(products(q, k, v, self.heads, self.factor)), x)
        return x + over_time(self.proj_conv, a)


class IntegerMLP(MLP):
    def forward(self, x):
        y = x
        for name in self.names:
            y = run_pair(self, f"{name}_conv", f"{name}_bn", integer(y))
        return x + y


class SDTV3(SDTV2):
    fire = staticmethod(integer)

    def conv_block(self, width):
        return ConvBlock(width, DenseSeparable(width, 7), integer)

    def block(self, width, heads):
        return Block(
            conv=DenseSeparable(width, 3),
            attn=WideAttention(width, heads),
            mlp=IntegerMLP(width, 4, ("fc1", "fc2"), flat),
        )

    def logits(self, x):
        return self.head(x.mean((-2, -1)).clamp(0, 4).round()).mean(0)
