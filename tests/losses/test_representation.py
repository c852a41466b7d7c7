"""Measures of features against closed forms and plain float64 sums."""

import math

import numpy as np
import pytest
import torch

from snnssl_mm.losses.representation import (
    alignment,
    linear_cka,
    mean_cosine,
    rankme,
    singular_values,
    std_per_dimension,
    temporal_consistency,
    uniformity,
)
from snnssl_mm.models.heads import embedding_std


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rotation(size, seed=1):
    return torch.linalg.qr(normal(size, size, seed=seed))[0]


def unit(row):
    return row / math.sqrt((row**2).sum())


def test_std_is_one_on_the_sphere_and_nothing_when_collapsed():
    torch.testing.assert_close(
        std_per_dimension(normal(20_000, 8)), torch.ones(8), atol=0.02, rtol=0
    )
    one = normal(1, 8)
    scaled = one * torch.linspace(1, 9, 5)[:, None]
    assert std_per_dimension(scaled).abs().max() < 1e-6


def test_std_equals_the_formula_and_the_head_averages_it():
    z = normal(3, 10, 4) + 1
    expected = np.empty((3, 4))
    for step, features in enumerate(z.numpy()):
        expected[step] = 2 * np.std([unit(row) for row in features], axis=0)
    np.testing.assert_allclose(std_per_dimension(z), expected, rtol=1e-5)
    assert embedding_std(z).item() == pytest.approx(expected.mean(), rel=1e-6)


def test_rankme_of_known_spectra():
    assert rankme(singular_values(3 * rotation(6))) == pytest.approx(6)
    assert rankme(singular_values(torch.ones(9, 6))) == pytest.approx(1)
    assert rankme(singular_values(torch.zeros(9, 6))) == 0
    p = np.array([0.5, 0.25, 0.25])
    assert rankme(torch.tensor(8 * p)) == pytest.approx(np.exp(-(p * np.log(p)).sum()))


def test_rankme_is_that_of_numpy_with_the_papers_epsilon():
    z = normal(40, 12) * torch.linspace(0.1, 3, 12)
    values = np.linalg.svd(z.numpy(), compute_uv=False)
    p = values / np.abs(values).sum() + 1e-7
    paper = np.exp(-(p * np.log(p)).sum())
    assert rankme(singular_values(z)) == pytest.approx(paper, rel=1e-4)


def test_alignment_of_equal_orthogonal_and_opposite_views():
    eye = torch.eye(4, dtype=torch.float64)
    assert alignment(eye, 5 * eye) == 0
    assert alignment(eye, eye.roll(1, 0)) == pytest.approx(2)
    assert alignment(eye, -eye) == pytest.approx(4)
    assert alignment(eye, -eye, alpha=1) == pytest.approx(2)
    x, y = normal(9, 5), normal(9, 5, seed=1)
    assert alignment(x, y) == pytest.approx(2 - 2 * mean_cosine(x, y))


def test_uniformity_of_one_point_and_of_all_pairs():
    assert uniformity(torch.ones(6, 3)) == 0
    assert uniformity(normal(300, 500)) == pytest.approx(-4, abs=0.05)
    x = normal(7, 3).numpy()
    kernels = [
        math.exp(-3 * ((unit(x[i]) - unit(x[j])) ** 2).sum())
        for i in range(7)
        for j in range(i)
    ]
    found = uniformity(torch.from_numpy(x), t=3)
    assert found == pytest.approx(math.log(np.mean(kernels)))


def test_uniformity_of_one_image_is_refused():
    with pytest.raises(ValueError, match="2 .*1"):
        uniformity(torch.ones(1, 3))


def test_cosine_with_silence_is_nothing():
    x = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    y = torch.tensor([[0.0, 0.0], [6.0, 8.0]])
    assert mean_cosine(x, y) == pytest.approx(0.5)


def test_cka_sees_no_rotation_scale_or_shift_and_equals_the_regression_form():
    """The form with cross-covariances, of [D, D'], instead of [N, N] kernels."""
    x = normal(30, 6)
    assert linear_cka(x, 2.5 * x @ rotation(6) - 7) == pytest.approx(1)
    y = x[:, :4] ** 2 + 0.3 * normal(30, 4, seed=2)
    a, b = (z - z.mean(0) for z in (x, y))
    norms = (a.T @ a).norm() * (b.T @ b).norm()
    assert linear_cka(x, y) == pytest.approx(((a.T @ b).norm() ** 2 / norms).item())
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x))


def test_cka_with_the_same_features_for_all_images_is_nothing():
    assert linear_cka(normal(8, 3), torch.full((8, 3), 0.1)) == 0


def test_temporal_consistency_of_every_two_steps():
    z = normal(3, 5, 4).float()
    z[2] = 0  # a silent step
    found = temporal_consistency(z)
    for first in range(3):
        for second in range(3):
            expected = mean_cosine(z[first].double(), z[second].double())
            assert found[first, second].item() == pytest.approx(expected)
    assert found.diagonal().tolist() == pytest.approx([1, 1, 0])
