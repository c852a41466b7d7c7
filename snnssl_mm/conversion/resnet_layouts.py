"""Layouts of spiking ResNets and of non-spiking ones that initialise them.

Facts about the layouts, no code, from fangwei123456/Spike-Element-Wise-ResNet and
Ariande1/MS-ResNet on GitHub, spikingjelly 2.0.0, torchvision and mmpretrain.
"""

from __future__ import annotations

from snnssl_mm.conversion.rules import Layout, Rule


def resnet(
    stem: tuple[str, str],
    layer: str,
    units: tuple[tuple[str, str], ...],
    downsample: tuple[str, str],
    first_layer: int = 1,
) -> tuple[Rule, ...]:
    """Build the rules of a ResNet.

    Args:
        stem: Their names of convolution and batch norm of the stem.
        layer: Their name of a stage, with a placeholder for its number.
        units: Their names of convolution and batch norm, for each convolution of a
            block.
        downsample: Their names of convolution and batch norm on the shortcut.
        first_layer: Number of their first stage.
    """
    rules = [Rule(f"{stem[0]}.weight", "conv1.weight"), Rule(f"{stem[1]}.*", "bn1.*")]
    for index in range(4):
        theirs, ours = layer.format(index + first_layer), f"layer{index + 1}"
        for number, (conv, norm) in enumerate(units, 1):
            rules += [
                Rule(f"{theirs}.#.{conv}.weight", f"{ours}.#.conv{number}.weight"),
                Rule(f"{theirs}.#.{norm}.*", f"{ours}.#.bn{number}.*"),
            ]
        rules += [
            Rule(f"{theirs}.#.{downsample[0]}.weight", f"{ours}.#.downsample.0.weight"),
            Rule(f"{theirs}.#.{downsample[1]}.*", f"{ours}.#.downsample.1.*"),
        ]
    return tuple(rules)


PLAIN_UNITS = tuple((f"conv{i}", f"bn{i}") for i in (1, 2, 3))
CONTAINED_UNITS = tuple((f"conv{i}.module.0", f"conv{i}.module.1") for i in (1, 2, 3))
INTEGRATE_AND_FIRE = dict(tau=float("inf"), surrogate="atan")
"""No leak: 1 - 1 / tau is 1."""
MS_NEURON = dict(tau=4 / 3, v_threshold=0.5)
PLAIN_RESNET = resnet(
    ("conv1", "bn1"), "layer{}", PLAIN_UNITS, ("downsample.0", "downsample.1")
)

RESNET_LAYOUTS = {
    "sew-official": Layout(
        "SpikingResNet",
        "official SEW-ResNet",
        resnet(
            ("conv1", "bn1"),
            "layer{}",
            CONTAINED_UNITS,
            ("downsample.0.module.0", "downsample.0.module.1"),
        ),
        heads=("fc.*",),
        classifier=(("fc.*", "fc.*"),),
        settings=dict(shortcut="sew", neuron=INTEGRATE_AND_FIRE),
        note="merge='add' unless it was trained with connect_f='AND' or 'IAND'",
    ),
    "spiking-official": Layout(
        "SpikingResNet",
        "Spiking-ResNet of the official SEW-ResNet",
        resnet(
            ("conv1", "bn1"),
            "layer{}",
            CONTAINED_UNITS,
            ("downsample.module.0", "downsample.module.1"),
        ),
        heads=("fc.*",),
        classifier=(("fc.*", "fc.*"),),
        settings=dict(shortcut="spiking", neuron=INTEGRATE_AND_FIRE),
    ),
    "ms-official": Layout(
        "SpikingResNet",
        "official MS-ResNet (18 and 34 layers)",
        resnet(
            ("conv1.0", "conv1.1.bn"),
            "conv{}_x",
            (
                ("residual_function.1", "residual_function.2.bn"),
                ("residual_function.4", "residual_function.5.bn"),
            ),
            ("shortcut.0", "shortcut.1.bn"),
            first_layer=2,
        ),
        heads=("fc.*",),
        classifier=(("fc.*", "fc.*"),),
        settings=dict(shortcut="ms", neuron=MS_NEURON),
    ),
    "ms-spikingjelly": Layout(
        "SpikingResNet",
        "spikingjelly 2.0's MS-ResNet",
        resnet(
            ("stem.0", "stem.1"),
            "layer{}",
            PLAIN_UNITS[:2],
            ("downsample.0", "downsample.1"),
        ),
        settings=dict(shortcut="ms", neuron=MS_NEURON),
        note="neurons are spikingjelly's defaults for it",
    ),
    "torchvision": Layout(
        "SpikingResNet",
        "torchvision's ResNet, or spikingjelly 2.0's SEW or Spiking-ResNet",
        PLAIN_RESNET,
        heads=("fc.*",),
        classifier=(("fc.*", "fc.*"),),
        open=("shortcut", "neuron"),
        initialisation=True,
        note="these names are our own too. Weights of a non-spiking ResNet "
        "(torchvision) are an initialisation, no spiking network: train it. Weights of "
        "spikingjelly's SEW-ResNet need shortcut='sew', of its Spiking-ResNet "
        "'spiking', and the neuron that they were trained with: the tensors do not "
        "say; its bottlenecks with IAND are another function than ours",
    ),
    "mmpretrain": Layout(
        "SpikingResNet",
        "mmpretrain's ResNet",
        PLAIN_RESNET,
        heads=("head.fc.*",),
        classifier=(("head.fc.*", "fc.*"),),
        prefix="backbone.",
        open=("shortcut", "neuron"),
        initialisation=True,
        note="weights of a non-spiking ResNet are an initialisation, no spiking "
        "network: train it",
    ),
}
