"""How far apart the domains' features are: distances between class means, and their projection to a plane.

Plain NumPy on class means (eq. 4), which `runs.features` writes.

Source: the idea of figure 1 of Wang et al. 2020, arXiv 2004.00794.
"""

import numpy as np


def distances(source, target):
    """Distance between the domains' means of each class, over the mean distance between two classes of one domain.

    Args:
        source, target: float (c, d). Class means; NaN rows for classes that a domain lacks.

    Returns:
        float64 (c,). 1: as far apart as two different classes are on average; NaN where a domain lacks the class.
    """
    between = [value for means in (source, target) for value in _pairwise(means)]
    scale = np.mean(between) if between else np.nan
    apart = np.linalg.norm(np.asarray(source, np.float64) - np.asarray(target, np.float64), axis=1)
    return np.divide(apart, scale, out=np.full(len(apart), np.nan), where=bool(scale > 0))


def _pairwise(means):
    """Distances between the rows that are no NaN."""
    means = np.asarray(means, np.float64)
    means = means[~np.isnan(means).any(1)]
    for i, row in enumerate(means):
        yield from np.linalg.norm(means[i + 1 :] - row, axis=1)


def plane(source, target):
    """Both domains' class means in the plane that keeps most of their variance (principal components).

    Args:
        source, target: float (c, d). Class means; NaN rows for classes that a domain lacks.

    Returns:
        source, target: float64 (c, 2). NaN rows stay such; on each axis the largest is positive.
        kept: float, share of the variance in the plane.
    """
    points = np.concatenate([source, target]).astype(np.float64)
    present = ~np.isnan(points).any(1)
    found = np.full((len(points), 2), np.nan)
    if not present.any():
        return *np.split(found, 2), 0.0
    centred = points[present] - points[present].mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    projected = np.zeros((len(centred), 2))
    width = min(2, len(values))
    projected[:, :width] = left[:, :width] * values[:width]
    largest = projected[np.abs(projected).argmax(0), [0, 1]]
    found[present] = projected * np.where(largest < 0, -1, 1)
    variance = np.square(values)
    kept = variance[:2].sum() / variance.sum() if variance.sum() else 0.0
    return *np.split(found, 2), float(kept)
