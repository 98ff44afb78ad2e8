"""How often each class occurs, and what is made of it: rare-class sampling and weights of classes.

Source: Hoyer et al. 2022 (DAFormer), arXiv 2111.14887, for the sampling; Eigen and Fergus 2015, arXiv 1411.4734, for
weights by the median frequency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

ENOUGH = 1e-3  # share of an image's pixels with which it counts as holding a class
RANGE = (0.1, 10.0)  # of a class's weight


def frequencies(counts: np.ndarray) -> np.ndarray:
    """Share of each class among all pixels that have one: (n, c) pixels by image and class -> (c,)."""
    total = counts.sum(axis=0, dtype=np.float64)
    return total / max(total.sum(), 1.0)


def class_weights(counts: Mapping[str, np.ndarray], setting: float | Sequence[float] | None) -> list[float] | None:
    """Weights of the classes in the segmentation losses.

    Args:
        counts: role -> (n, c), pixels by image and class; of the labelled roles that are trained on.
        setting: `losses.class_weights`.

    Returns:
        weights: (c,), 1 for a class that no image has; None where all count alike.

    Example:
        >>> class_weights({"source": np.array([[900, 90, 10]])}, 0.5)
        [0.316..., 1.0, 3.0]
    """
    if setting is None or not isinstance(setting, (int, float)):
        return None if setting is None else [float(weight) for weight in setting]
    shares = np.mean([frequencies(of_role) for of_role in counts.values()], axis=0)
    there = shares > 0
    weights = np.ones(len(shares))
    weights[there] = np.clip((np.median(shares[there]) / shares[there]) ** setting, *RANGE)
    return [float(weight) for weight in weights]


def sampling_table(counts: np.ndarray, temperature: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """What rare-class sampling draws from.

    Args:
        counts: (n, c), pixels by image and class.
        temperature: `sampling.rare_class`.

    Returns:
        probabilities: float64 (c,), exp((1 - frequency) / temperature) over their sum; 0 for a class of no image.
        images: for each class the places of the images that hold enough of it; if none does, of those with any.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    images = []
    for of_class in shares.T:
        enough = np.flatnonzero(of_class >= ENOUGH)
        images.append(enough if enough.size else np.flatnonzero(of_class > 0))
    logits = (1 - frequencies(counts)) / temperature
    there = np.array([held.size > 0 for held in images])
    scores = np.exp(np.where(there, logits - logits[there].max(), -np.inf))
    return scores / scores.sum(), images
