"""Attention maps: the products of queries and keys, nothing else."""

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from snnssl_mm.analysis.attention_maps import attention_maps, plot_attention_maps
from snnssl_mm.neurons import set_path


def spikes_of(backbone, inputs):
    """Query, key and value spikes ``[T, 1, 3 C, H, W]`` of the only block."""
    found = []
    attention = backbone.blocks[0].attention
    handle = attention.qkv.register_forward_hook(lambda *call: found.append(call[-1]))
    with torch.no_grad():
        backbone(inputs)
    handle.remove()
    return found[0]


def test_maps_are_the_mean_product_of_every_token_with_all_queries(backbone, image):
    (block,) = attention_maps(backbone, image)
    assert block.name == "blocks.0.attention"
    spikes = spikes_of(backbone, image.inputs)[:, 0].double().numpy()
    steps, channels, height, width = spikes.shape
    q, k, _ = np.split(spikes.reshape(steps, channels, -1), 3, axis=1)
    heads, dims = 2, 8
    expected = np.zeros((heads, height * width))
    for head in range(heads):
        part = slice(head * dims, (head + 1) * dims)
        for step in range(steps):
            product = q[step, part].T @ k[step, part]  # [queries, keys]
            expected[head] += product.mean(0) / steps
    assert expected.max() > 0
    rows, columns = block.maps.shape[-2:]
    expected = expected.reshape(heads, height, width)[:, :rows, :columns]
    np.testing.assert_allclose(block.maps, expected, rtol=1e-5)


def test_maps_are_of_the_spiking_path_whatever_it_was(backbone, image):
    expected = attention_maps(backbone, image)[0].maps
    set_path(backbone.train(), "dual")
    np.testing.assert_array_equal(attention_maps(backbone, image)[0].maps, expected)


def test_network_without_attention_is_refused(image):
    with pytest.raises(ValueError, match="Conv2d"):
        attention_maps(torch.nn.Conv2d(3, 3, 1), image)


def test_picture_has_a_panel_for_each_head(backbone, image, tmp_path):
    blocks = attention_maps(backbone, image)
    widths = []
    for heads in (1, 2, 6):
        file = plot_attention_maps(blocks, image.picture, tmp_path / "a.png", heads)
        drawn = imread(file)[..., :3]
        widths.append(drawn.shape[1])
        assert (np.ptp(drawn, axis=-1) > 0.2).mean() > 0.05, "with coloured maps"
    assert widths[0] < widths[1] == widths[2]  # there are two
