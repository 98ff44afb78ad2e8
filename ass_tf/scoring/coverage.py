"""Photographs chosen one by one: unsure ones that are unlike those chosen before.

Sources: Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", arXiv
1708.00489, for the greedy k-centre; that distance and uncertainty are multiplied is our choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RULES = ("both", "uncertainty", "coverage")


def standardised(features: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) and (m, d) in units of the standard deviation that each dimension has over both."""
    deviation = np.concatenate([features, known]).std(0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return features / scale, known / scale


def pick(scores: np.ndarray, features: np.ndarray, known: np.ndarray, count: int, rule: str = "both") -> list[int]:
    """Places of the chosen photographs, in the order of choice.

    Args:
        scores: (n,), not negative. Uncertainty.
        features: (n, d).
        known: (m, d). Features of the photographs that have a label; they are covered from the start.
        count: photographs to choose, up to n.
        rule: of RULES. Coverage takes the photograph that is farthest from its nearest neighbour among the covered
            ones. Uncertainty takes the one of the highest score. Both takes that of the largest product.

    Returns:
        places: `count` ints. Of equals the first. Where nothing is covered yet, the score decides, or with `coverage`
            the distance from the mean, and the nearest is taken.

    Example:
        >>> line = np.array([[0.0], [1.0], [10.0]])
        >>> pick(np.array([1.0, 3.0, 1.0]), line, np.array([[0.0]]), 2)
        [2, 1]
    """
    if rule == "uncertainty":
        return np.argsort(-scores, kind="stable")[:count].tolist()
    distance = np.full(len(features), np.inf)
    for feature in known:
        distance = np.minimum(distance, np.linalg.norm(features - feature, axis=1))
    chosen: list[int] = []
    weight = scores if rule == "both" else np.ones(len(features))
    for _ in range(count):
        if np.isinf(distance).all():
            centre = np.linalg.norm(features - features.mean(0), axis=1)
            value = scores if rule == "both" else -centre
        else:
            value = weight * distance
        value = np.where(np.isin(np.arange(len(features)), chosen), -np.inf, value)
        chosen.append(int(np.argmax(value)))
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return chosen


def nearest(features: np.ndarray, known: np.ndarray, chosen: Sequence[int]) -> list[float]:
    """Distance of each chosen photograph from its nearest neighbour among the known and those chosen before it.

    Infinite for the first of all where none is known.
    """
    covered, distances = list(known), []
    for place in chosen:
        distances.append(min((float(np.linalg.norm(features[place] - one)) for one in covered), default=np.inf))
        covered.append(features[place])
    return distances
