"""Decoder and head of masked autoencoding: patches of any image size."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.heads import MAEPretrainHead
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import Tensor, nn

from snnssl_mm.registry import MODELS


def cut_patches(images: Tensor, size: int) -> Tensor:
    """Return ``[N, L, size size C]``: the patches of ``images`` [N, C, H, W], by rows.

    The pixels of a patch come in the order of row, column and channel, as in
    mmpretrain.
    """
    grid = images.unflatten(3, (-1, size)).unflatten(2, (-1, size))  # N C h p w q
    return grid.permute(0, 2, 4, 3, 5, 1).flatten(3, 5).flatten(1, 2)


@MODELS.register_module()
class MaskedPatchHead(MAEPretrainHead):
    """mmpretrain's head of masked autoencoding, for images of any size.

    The loss averages the squared or absolute error over the pixels of hidden patches.

    Args:
        loss: Config of a loss, such as ``dict(type='PixelReconstructionLoss',
            criterion='L2')``.
        norm_pix: Whether each patch's pixels are standardised by their own mean and
            variance first.
        patch_size: Side of a patch; MaskedSSL sets it.
        in_channels: Channels of an image; MaskedSSL sets it.
    """

    def patchify(self, imgs: Tensor) -> Tensor:
        """Return the patches of images, see :func:`cut_patches`."""
        return cut_patches(imgs, self.patch_size)


@MODELS.register_module()
class MaskedPatchDecoder(BaseModule):
    """Light transformer that predicts the pixels of all patches: MAE's decoder.

    Features are standardised (a spiking backbone has no norm at its end, and sums of
    spikes are large), projected, joined by a learned token in place of each hidden
    patch, and given sine-cosine position embeddings of any size. The blocks are
    mmpretrain's, without spikes: the decoder is thrown away after pretraining.

    Args:
        in_channels: Channels of the map.
        out_channels: Pixels of a patch times their channels; MaskedSSL sets it.
        embed_dims: Width, a multiple of 4 and of ``num_heads``.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        mlp_ratio: Hidden channels of a block's MLP, as a multiple of the width.
        init_cfg: Initialisation, see mmengine.

    Shape:
        - Input: maps ``[N, C, h, w]`` and which patches are visible, ``[N, h, w]``.
        - Output: ``[N, h w, out_channels]``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embed_dims: int = 256,
        depth: int = 2,
        num_heads: int = 8,
        mlp_ratio: float = 4,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims % 4 or num_heads < 1 or embed_dims % num_heads:
            raise ValueError(
                "embed_dims must be a multiple of 4 and of num_heads="
                f"{num_heads}, got {embed_dims}"
            )
        self.embed_dims = embed_dims
        self.in_norm = nn.LayerNorm(in_channels)
        self.embed = nn.Linear(in_channels, embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(embed_dims))
        trunc_normal_(self.mask_token, std=0.02)
        self.blocks = nn.Sequential(
            *(
                TransformerEncoderLayer(
                    embed_dims, num_heads, int(mlp_ratio * embed_dims)
                )
                for _ in range(depth)
            )
        )
        self.out_norm = nn.LayerNorm(embed_dims)
        self.predict = nn.Linear(embed_dims, out_channels)

    def forward(self, maps: Tensor, visible: Tensor) -> Tensor:
        """Predict all patches, of which only the visible ones' features are read."""
        tokens = self.embed(self.in_norm(maps.flatten(2).transpose(1, 2)))
        seen = visible.flatten(1).unsqueeze(-1)
        tokens = torch.where(seen, tokens, self.mask_token.to(tokens.dtype))
        rows, columns = maps.shape[-2:]
        # It counts down the columns of its grid (h, w), and tokens come by rows.
        places = build_2d_sincos_position_embedding((columns, rows), self.embed_dims)
        tokens = self.blocks(tokens + places.to(tokens))
        predicted: Tensor = self.predict(self.out_norm(tokens))
        return predicted
