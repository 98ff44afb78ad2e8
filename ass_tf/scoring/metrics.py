"""Confusion matrix of two label maps, and the scores that papers report from it, all in percent.

Plain NumPy on numbers of pixels.
"""

import dataclasses
from typing import Any

import numpy as np

from ass_tf import labels


def confusion_matrix(truth, prediction, num_classes):
    """Number of pixels of each true class that were given each class.

    Args:
        truth: integers (h, w). Train ids; IGNORE pixels take no part.
        prediction: integers (h, w). Train ids.
        num_classes: int, c.

    Returns:
        confusion: int64 (c, c). Rows are the truth, columns the prediction.

    Example:
        >>> confusion_matrix([[0, 0], [1, labels.IGNORE]], [[0, 1], [1, 0]], 2).tolist()
        [[1, 1], [0, 1]]

    Raises:
        ValueError: the sizes differ, or an id is none of the c classes.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"prediction must have the truth's size {truth.shape}. Received: {prediction.shape}.")
    valid = truth != labels.IGNORE
    truth, prediction = truth[valid].astype(np.int64), prediction[valid].astype(np.int64)
    for name, ids in (("truth", truth), ("prediction", prediction)):
        if ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
            strange = ids[(ids < 0) | (ids >= num_classes)][0]
            raise ValueError(f"{name} must hold train ids below {num_classes}. Received: {strange}.")
    counts = np.bincount(truth * num_classes + prediction, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def iou_per_class(confusion):
    """Intersection over union of each class.

    Args:
        confusion: int64 (c, c). From `confusion_matrix`, summed over the images.

    Returns:
        iou: float64 (c,). Percent; NaN for a class that neither the truth nor the prediction has.
    """
    intersection = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    return 100 * np.divide(intersection, union, out=np.full(len(confusion), np.nan), where=union > 0)


def mean_iou(confusion, subset=None):
    """Mean IoU over the classes that have one.

    Args:
        confusion: int64 (c, c).
        subset: train ids to average over; default all. The other classes stay in the matrix: their pixels still count
            as false positives of the subset's classes, which is BDL's convention for 16 of 19 classes.

    Returns:
        miou: float. Percent; NaN if no class of the subset has an IoU.
    """
    iou = iou_per_class(confusion)[slice(None) if subset is None else list(subset)]
    iou = iou[~np.isnan(iou)]
    return float(iou.mean()) if iou.size else float("nan")


def pixel_accuracy(confusion):
    """Share of the valid pixels that were given their own class, in percent; NaN if there are none."""
    total = confusion.sum()
    return float(100 * np.trace(confusion) / total) if total else float("nan")


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a confusion matrix says, in percent; None where there is no value.

    Attributes:
        miou, pixel_accuracy: float or None.
        iou: class name -> IoU.
        subsets: name -> `miou`, number of `classes` in the subset, number `scored`, which have an IoU.
        confusion: int64 (c, c).
    """

    miou: float | None
    pixel_accuracy: float | None
    iou: dict[str, float | None]
    subsets: dict[str, dict[str, Any]]
    confusion: np.ndarray

    def to_json(self, confusion=True):
        """Plain values by the names of the attributes; `confusion` last, unless it is left out."""
        values = {key: getattr(self, key) for key in ("miou", "pixel_accuracy", "iou", "subsets")}
        return {**values, "confusion": self.confusion.tolist()} if confusion else values


def scores_of(confusion, names, subsets=None):
    """All scores of a confusion matrix.

    Args:
        confusion: int64 (c, c).
        names: the class set, c names.
        subsets: name -> class names, besides labels.REPORTED_SUBSETS. One that is not within `names` is left out.

    Returns:
        scores: Scores.

    Example:
        >>> scores = scores_of(np.array([[1, 1], [0, 2]]), ["road", "sky"])
        >>> round(scores.miou, 2), scores.pixel_accuracy, scores.iou["road"]
        (58.33, 75.0, 50.0)
    """
    names = list(names)
    iou = iou_per_class(confusion)
    means = {}
    for key, members in {**labels.REPORTED_SUBSETS, **(subsets or {})}.items():
        if set(members) <= set(names):
            ids = [names.index(name) for name in members]
            means[key] = {
                "miou": _number(mean_iou(confusion, ids)),
                "classes": len(ids),
                "scored": int(np.isfinite(iou[ids]).sum()),
            }
    return Scores(
        miou=_number(mean_iou(confusion)),
        pixel_accuracy=_number(pixel_accuracy(confusion)),
        iou={name: _number(value) for name, value in zip(names, iou)},
        subsets=means,
        confusion=confusion,
    )


def _number(value):
    return None if np.isnan(value) else float(value)
