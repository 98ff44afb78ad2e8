"""Photographs chosen one by one: unsure ones that are unlike those chosen before.

Sources: Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", arXiv
1708.00489, for the greedy k-centre; that distance and uncertainty are multiplied is our choice.
"""

from __future__ import annotations

import numpy as np

RULES = ("both", "uncertainty", "coverage")


def standardised(features: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) and (m, d) in units of the standard deviation that each dimension has over both."""
    deviation = np.concatenate([features, known]).std(0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return features / scale, known / scale


def pick(
    scores: np.ndarray, features: np.ndarray, known: np.ndarray, count: int, rule: str = "both"
) -> tuple[list[int], list[float]]:
    """The chosen photographs, in the order of choice.

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
        distances: `count` floats. That of each from its nearest neighbour among the known and those chosen before it;
            infinite for the first where none is known.

    Example:
        >>> line = np.array([[0.0], [1.0], [10.0]])
        >>> pick(np.array([1.0, 3.0, 1.0]), line, np.array([[0.0]]), 2)
        ([2, 1], [10.0, 1.0])
    """
    candidates = np.arange(len(features))
    if rule == "uncertainty":  # of all others no distance is needed
        candidates = np.argsort(-scores, kind="stable")[:count]
        scores, features = scores[candidates], features[candidates]
    distance = np.full(len(features), np.inf)
    for feature in known:
        distance = np.minimum(distance, np.linalg.norm(features - feature, axis=1))
    places: list[int] = []
    distances: list[float] = []
    left = np.ones(len(features), bool)
    for _ in range(count):
        if rule == "uncertainty":
            value = scores
        elif np.isinf(distance).all():
            value = scores if rule == "both" else -np.linalg.norm(features - features.mean(0), axis=1)
        else:
            value = distance * scores if rule == "both" else distance
        place = int(np.argmax(np.where(left, value, -np.inf)))
        places.append(int(candidates[place]))
        distances.append(float(distance[place]))
        left[place] = False
        distance = np.minimum(distance, np.linalg.norm(features - features[place], axis=1))
    return places, distances
