"""How unsure a network is of a photograph, from its logits alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ass_tf.datasets import balance

MEASURES = ("margin", "entropy")
RARITY = 0.5  # exponent of the median frequency over a class's, as `losses.class_weights` has it in better.json


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis; float64, of the same shape."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True), dtype=np.float64)
    return shifted / shifted.sum(-1, keepdims=True)


def uncertainty(p: np.ndarray, measure: str) -> np.ndarray:
    """0 where one class has all, 1 where the network is as unsure as can be.

    Args:
        p: (..., c), probabilities of two classes or more.
        measure: of MEASURES. Margin: 1 - (p of the first class - p of the second). Entropy: over that of c equal ones.

    Returns:
        doubt: (...).

    Example:
        >>> uncertainty(np.array([[0.5, 0.5, 0], [1, 0, 0]]), "margin").tolist()
        [1.0, 0.0]
    """
    if measure == "margin":
        second, first = np.moveaxis(np.partition(p, -2)[..., -2:], -1, 0)
        return 1 - (first - second)
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    return -(p * logs).sum(-1) / np.log(p.shape[-1])


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """What is kept of a photograph.

    Attributes:
        name: as list files hold it.
        shares: (c,). Mean probability of each class.
        doubts: (c,). Mean over the pixels of the uncertainty times the probability of each class; they sum up to the
            photograph's mean uncertainty.
        feature: (d,). Mean of G's features over the pixels.
    """

    name: str
    shares: np.ndarray
    doubts: np.ndarray
    feature: np.ndarray


def read(name: str, features: np.ndarray, logits: np.ndarray, measure: str) -> Reading:
    """What is kept of a photograph, from G's features (u, v, d) and logits (u, v, c)."""
    p = probabilities(logits)
    doubts = p * uncertainty(p, measure)[..., None]
    return Reading(name, p.mean((0, 1)), doubts.mean((0, 1)), features.mean((0, 1), dtype=np.float64))


def scores(readings: Sequence[Reading]) -> np.ndarray:
    """Uncertainty of each photograph, in which rare classes count more: (n,).

    A pixel's uncertainty counts as often as its classes' weights say: (median frequency / frequency)^0.5, from 0.1 to
    10, where a class's frequency is its mean probability over all of the photographs.
    """
    weights = balance.class_weights({"photographs": np.stack([r.shares for r in readings])}, RARITY)
    return np.stack([reading.doubts for reading in readings]) @ np.asarray(weights)
