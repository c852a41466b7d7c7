"""Metrics of a representation, on plain tensors of features.

Needs torch only; the training head, the monitors and the tools share it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def std_per_dimension(z: Tensor) -> Tensor:
    """Standard deviation of each dimension of normalised features, times sqrt(D).

    sqrt(D) std_b(z_b / ||z_b||): near 1 in each dimension for features that spread
    over the sphere, near 0 for collapsed ones (Chen & He, "Exploring Simple Siamese
    Representation Learning", CVPR 2021, arXiv 2011.10566).

    Args:
        z: Features ``[..., B, D]``.

    Returns:
        ``[..., D]``.
    """
    directions = F.normalize(z.float(), dim=-1)
    centred = directions - directions.mean(-2, keepdim=True)
    # Tensor.std over rows takes nine times as long on a CPU.
    return centred.square().mean(-2).sqrt() * z.shape[-1] ** 0.5


def singular_values(z: Tensor) -> Tensor:
    """Singular values of features ``[N, D]``, largest first, ``[min(N, D)]``."""
    values: Tensor = torch.linalg.svdvals(z.double())
    return values


def rankme(values: Tensor) -> float:
    """Effective rank, from 1 to the number of singular values.

    exp(-sum_k p_k log p_k) with p_k = sigma_k / sum_j sigma_j: the number of equal
    directions that would have the same entropy. Features are not centred, as in
    Garrido et al., "RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank", ICML 2023, arXiv 2210.02885 (which
    adds 1e-7 to p_k; 0 log 0 = 0 here).

    Args:
        values: Singular values ``[K]``; if all are 0, the rank is 0.
    """
    total = values.sum()
    if total == 0:
        return 0.0
    return float(torch.special.entr(values / total).sum().exp())


def alignment(x: Tensor, y: Tensor, alpha: float = 2.0) -> float:
    """Alignment: mean distance between the two views of an image; 0 is best.

    mean_i ||x_i - y_i||^alpha of normalised features: 2 - 2 cos for alpha = 2 (Wang &
    Isola, "Understanding Contrastive Representation Learning through Alignment and
    Uniformity on the Hypersphere", ICML 2020, arXiv 2005.10242).

    Args:
        x: Features of one view ``[N, D]``.
        y: Features of the other view, in the same order.
        alpha: Exponent of the distance.
    """
    distances = (F.normalize(x, dim=-1) - F.normalize(y, dim=-1)).norm(dim=-1)
    return float(distances.pow(alpha).mean())


def uniformity(x: Tensor, t: float = 2.0) -> float:
    """Uniformity of features on the sphere; lower is better.

    log mean_{i<j} exp(-t ||x_i - x_j||^2) of normalised features: 0 if all are the
    same; -2 t if they spread over a sphere of many dimensions (Wang & Isola, see
    :func:`alignment`).

    Args:
        x: Features ``[N, D]``.
        t: Sharpness of the kernel.

    Raises:
        ValueError: If there are fewer than 2 images.
    """
    if len(x) < 2:
        raise ValueError(f"uniformity needs at least 2 images, got {len(x)}")
    squares = F.pdist(F.normalize(x, dim=-1)).pow(2)
    return float(squares.mul(-t).exp().mean().log())


def mean_cosine(x: Tensor, y: Tensor) -> float:
    """Mean cosine similarity of features ``[N, D]`` per image; 0 for zero vectors."""
    return float((F.normalize(x, dim=-1) * F.normalize(y, dim=-1)).sum(-1).mean())


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment of two sets of features, 0 to 1.

    <X X^T, Y Y^T> / (||X X^T|| ||Y Y^T||) of centred features: 1 if they differ by a
    rotation and a scale (Kornblith et al., "Similarity of Neural Network
    Representations Revisited", ICML 2019, arXiv 1905.00414).

    Args:
        x: Features ``[N, D]``.
        y: Features ``[N, D']`` of the same images.

    Returns:
        0 if one set is constant over the images, to within float32's rounding.
    """
    grams = []
    for z in (x.double(), y.double()):
        centred = z - z.mean(0)
        if centred.norm() <= 1e-6 * z.norm():
            return 0.0
        grams.append(centred @ centred.T)
    first, second = grams
    return float((first * second).sum() / (first.norm() * second.norm()))


def temporal_consistency(z: Tensor) -> Tensor:
    """Mean cosine similarity between an image's features at two time steps.

    Args:
        z: Features ``[T, N, D]``; a step without any spike has similarity 0 with all.

    Returns:
        ``[T, T]``, symmetric.
    """
    directions = F.normalize(z.double(), dim=-1)
    return torch.einsum("snd,tnd->st", directions, directions) / z.shape[1]
