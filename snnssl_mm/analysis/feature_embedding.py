"""Features of unseen images in the plane, by t-SNE, coloured by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from snnssl_mm.engine.labelled_images import class_count, class_names
from snnssl_mm.engine.probes import Loaders, labelled_features

Arrays = tuple[np.ndarray, np.ndarray]
NAMED = 20
"""So many classes have a colour of their own."""


def embed(features: np.ndarray) -> np.ndarray:
    """Map features ``[n, C]`` to the plane ``[n, 2]`` by t-SNE of cosine distances.

    van der Maaten & Hinton, "Visualizing Data using t-SNE", JMLR 2008. It starts from
    the first two principal components, so nothing is random.

    Raises:
        ValueError: If there are fewer than 4 samples.
    """
    if len(features) < 4:
        raise ValueError(f"t-SNE needs at least 4 samples, got {len(features)}")
    perplexity = min(30.0, (len(features) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, metric="cosine", init="pca", random_state=0)
    scaled = StandardScaler(with_mean=False).fit_transform(features)
    return np.asarray(tsne.fit_transform(scaled))


def embed_test_images(
    models: Mapping[str, Any], loaders: Loaders
) -> tuple[dict[str, Arrays], list[str]]:
    """Embed what several networks make of the same test images.

    Args:
        models: Title -> DualPathSSL, left as it was.
        loaders: Of training images, for the BatchNorm statistics, and of test images.

    Returns:
        Title -> points ``[n, 2]`` and classes ``[n]``; and the names of the classes.
    """
    panels = {}
    for title, model in models.items():
        features, labels = labelled_features(model, loaders).test
        panels[title] = embed(features), labels
    names = list(class_names(loaders.test.dataset))
    return panels, names or [str(label) for label in range(class_count(loaders))]


def plot_embedding(
    panels: Mapping[str, Arrays], classes: Sequence[str], out: Path
) -> Path:
    """Draw a panel for each network.

    Args:
        panels: Title -> points ``[n, 2]`` and classes ``[n]`` of the same images.
        classes: Names of the classes.
        out: Picture to write.
    """
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(4.6 * len(panels) + 1.2, 4.6),
        squeeze=False,
        layout="constrained",
    )
    colors = plt.get_cmap("tab10" if len(classes) <= 10 else "tab20")
    for axis, (title, (points, labels)) in zip(axes[0], panels.items(), strict=True):
        for label, name in enumerate(classes):
            mine = points[labels == label]
            color = colors(label % NAMED)
            axis.scatter(*mine.T, s=7, color=color, linewidths=0, label=name)
        axis.set(title=title, xticks=[], yticks=[])
        axis.spines[:].set_color("0.8")
    if len(classes) <= NAMED:
        handles = axes[0, 0].get_legend_handles_labels()
        figure.legend(
            *handles, loc="outside right center", frameon=False, markerscale=2.5
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)
    plt.close(figure)
    return out
