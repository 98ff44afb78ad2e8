"""Whether a network is right as often as it says: reliability, calibration error, and the temperature that mends it.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ass_tf import labels
from ass_tf.scoring.uncertainty import probabilities

BINS = 15
RANGE = (0.05, 20.0)  # of a temperature
MOST = 2_000_000  # pixels that are kept
PART = 16_384  # pixels that are computed at once, in float64


@dataclasses.dataclass(frozen=True, eq=False)
class Reliability:
    """Pixels by the probability of their likeliest class, in BINS equal bins from 0 to 1.

    Attributes:
        count: (BINS,). Pixels in each bin.
        confidence: (BINS,). Their mean probability; 0 in an empty bin.
        accuracy: (BINS,). The share of them that is right; 0 in an empty bin.
    """

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: |accuracy - confidence|, averaged over the pixels; 0 to 1."""
        return float((self.count * np.abs(self.accuracy - self.confidence)).sum() / max(self.count.sum(), 1))


def reliability(scores: np.ndarray, truth: np.ndarray, temperature: float = 1.0) -> Reliability:
    """Reliability of pixels.

    Args:
        scores: (m, c). Logits.
        truth: (m,). Train ids.
        temperature: what the logits are divided by.

    Example:
        >>> found = reliability(np.log([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1]))
        >>> round(found.error, 3)
        0.3
    """
    sure, right = np.empty(len(truth)), np.empty(len(truth), bool)
    for part in _parts(len(truth)):
        p = probabilities(scores[part] / temperature)
        sure[part], right[part] = p.max(-1), p.argmax(-1) == truth[part]
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    filled = np.maximum(count, 1)
    confidence = np.bincount(place, sure, BINS) / filled
    return Reliability(count, confidence, np.bincount(place, right, BINS) / filled)


def _parts(length: int) -> Iterator[slice]:
    return (slice(start, start + PART) for start in range(0, length, PART))


def likelihood_loss(scores: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    """Mean of -log p of the true class, with logits (m, c) over the temperature."""
    total = 0.0
    for part in _parts(len(truth)):
        z = scores[part].astype(np.float64) / temperature
        z -= z.max(-1, keepdims=True)
        total += (np.log(np.exp(z).sum(-1)) - z[np.arange(len(z)), truth[part]]).sum()
    return float(total / len(truth))


def best_temperature(scores: np.ndarray, truth: np.ndarray) -> float:
    """The temperature within RANGE at which the true classes are likeliest, to 0.1 %.

    Its logarithm is searched by the golden section: the loss has one minimum in 1 / temperature, being convex in it.
    """
    ratio = (np.sqrt(5) - 1) / 2
    low, high = np.log(RANGE)

    def loss(x: float) -> float:
        return likelihood_loss(scores, truth, float(np.exp(x)))

    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-3:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return float(np.exp((low + high) / 2))


class Sample:
    """Logits and truth of pixels on a grid over each image.

    Args:
        images: how many there will be; together they give MOST pixels at the most.
    """

    def __init__(self, images: int) -> None:
        self.each = max(1, min(4096, MOST // max(images, 1)))
        self.scores: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []

    def add(self, scores: np.ndarray, truth: np.ndarray) -> None:
        """Takes in an image: logits (h, w, c) and train ids (h, w).

        Pixels of IGNORE take no part, nor those of which a broken network says nothing finite.
        """
        step = max(1, int(np.ceil(np.sqrt(truth.size / self.each))))
        grid = (slice(step // 2, None, step),) * 2
        scores, truth = scores[grid].reshape(-1, scores.shape[-1]), truth[grid].reshape(-1)
        valid = (truth != labels.IGNORE) & np.isfinite(scores).all(-1)
        self.scores.append(scores[valid].astype(np.float32))
        self.truth.append(truth[valid].astype(np.int64))

    def result(self) -> tuple[dict[str, Any], Reliability] | None:
        """What `evaluate` notes, and the reliability; None where no pixel has a label.

        The error with a temperature is that of each half of the images (every other one) with the temperature that
        fits the other half best, averaged over the pixels. The temperature itself is that of all.
        """
        scores, truth = (np.concatenate([*of[::2], *of[1::2]]) for of in (self.scores, self.truth))
        if not truth.size:
            return None
        middle = sum(of_image.size for of_image in self.truth[::2])
        found = reliability(scores, truth)
        noted = {
            "pixels": int(truth.size),
            "error": 100 * found.error,
            "temperature": best_temperature(scores, truth),
            "error_with_temperature": _crossed(scores, truth, middle),
            "bins": [
                {"pixels": int(n), "confidence": 100 * float(sure), "accuracy": 100 * float(right)}
                for n, sure, right in zip(found.count, found.confidence, found.accuracy)
            ],
        }
        return noted, found


def _crossed(scores: np.ndarray, truth: np.ndarray, middle: int) -> float | None:
    """Percent; None where one half, up to the middle or from there on, has no pixel."""
    if not 0 < middle < len(truth):
        return None
    first, second = slice(middle), slice(middle, None)
    errors = [
        reliability(scores[one], truth[one], best_temperature(scores[other], truth[other])).error
        for one, other in ((first, second), (second, first))
    ]
    return 100 * float(np.average(errors, weights=[middle, len(truth) - middle]))
