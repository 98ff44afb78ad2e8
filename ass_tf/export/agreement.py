"""Whether Keras, SavedModel and ONNX give the same labels to the same images, and what smaller numbers cost.

Differences are of class probabilities; shares are of pixels whose label differs.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from PIL import Image

from ass_tf import config, datasets
from ass_tf.datasets import decoding
from ass_tf.export import onnx_graph
from ass_tf.models import resize
from ass_tf.scoring import metrics, predictions
from ass_tf.system import storage

HALF_A_STEP = 0.5 / 255  # what rounding to uint8 may change
LIMIT = 0.001  # share of pixels above which a conversion counts as failed


@dataclasses.dataclass(frozen=True)
class Comparison:
    shape: tuple[int, int, int]  # images, height, width
    difference: float  # largest of a class probability, of SavedModel or ONNX against Keras
    saved_model: float  # share of pixels whose label is another than Keras'
    onnx: float

    @property
    def worst(self) -> float:
        return max(self.saved_model, self.onnx)


def pictures_for(settings: config.Config, count: int = 4) -> list[np.ndarray]:
    """Images to compare on, uint8 (h, w, 3): the run's own, evenly spread, or smooth noise where they are not here."""
    try:
        target = datasets.open_roles(settings, ["unlabelled"])["unlabelled"]
        pictures = list(read(pair.image for pair in datasets.spread(target.pairs, count)))
        reason = "none of those tried can be read."
    except datasets.DataError as error:
        pictures, reason = [], str(error)
    if pictures:
        return pictures
    print(f"note: compared on smooth noise, since the run's images are not here: {reason}", file=sys.stderr)
    coarse = np.random.default_rng(0).integers(0, 256, (count, 12, 20, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(c).resize((640, 360), Image.Resampling.BICUBIC)) for c in coarse]


def read(paths: Iterable[Path]) -> Iterator[np.ndarray]:
    """Image files, one after the other, as uint8 (h, w, 3); one that cannot be read is named on stderr."""
    for path in paths:
        try:
            yield decoding.read_image(path)
        except datasets.DataError as error:
            print(f"skipped: {error}", file=sys.stderr)


def batch_of(images: Sequence[np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
    """The first images, each again if there are too few, resized to uint8 (n, h, w, 3)."""
    count, height, width = shape
    pictures = [Image.fromarray(images[i % len(images)]) for i in range(count)]
    return np.stack([np.asarray(p.resize((width, height), Image.Resampling.BICUBIC)) for p in pictures])


def shapes_for(size: Sequence[int], fixed: Sequence[int | None]) -> list[tuple[int, int, int]]:
    """Five shapes to compare at: the run's own size, several images, odd sides, larger, upright.

    Args:
        size: (h, w) that the run was judged on.
        fixed: (n, h, w) of the model, None where it takes any.
    """
    h, w = size
    shapes = [
        (1, h, w),
        (2, h // 2 + 1, w // 2),
        (1, h | 1, w - 1 | 1),
        (1, h * 5 // 4, w * 5 // 4),
        (3, w // 2, h // 2),
    ]
    return list(dict.fromkeys(tuple(known or wanted for known, wanted in zip(fixed, shape)) for shape in shapes))


def session_of(model: onnx.ModelProto | str | Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def with_scores(model: onnx.ModelProto, upsampled: bool) -> onnx.ModelProto:
    """A copy that also gives the logits, as its last output (n, c, h, w), before or after they are upsampled."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    name = onnx_graph.scores_of(model.graph, upsampled)
    exposed.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return exposed


def compare(
    generator: Any,
    saved_model: Path,
    model: onnx.ModelProto,
    shapes: Sequence[tuple[int, int, int]],
    images: Sequence,
    temperature: float | None = None,
) -> list[Comparison]:
    """Run all three on the same images.

    Args:
        generator: keras.Model, called as it is: what the other two are held against.
        saved_model: folder of a SavedModel that gives probabilities.
        model: the ONNX model.
        shapes: (n, h, w) each.
        images: uint8 (h, w, 3) each, resized to the shapes.
        temperature: of the confidence that the model gives; None where it gives none.

    Returns:
        comparisons: one for each shape.
    """
    with storage.literal_path(saved_model) as path:
        served = tf.saved_model.load(path).signatures["serving_default"]
    plain, exposed = session_of(model), session_of(with_scores(model, upsampled=True))
    outputs = [output.name for output in plain.get_outputs()]
    comparisons = []
    for shape in shapes:
        batch = batch_of(images, shape)
        logits = generator(batch.astype(np.float32), training=False)[1]
        scores = resize.upsample(logits, shape[1:])
        labels, probs = tf.argmax(scores, -1).numpy(), tf.nn.softmax(scores).numpy()
        theirs = {key: value.numpy() for key, value in served(image=tf.constant(batch)).items()}
        found = dict(zip(outputs, plain.run(outputs, {"image": batch})))
        upsampled = np.moveaxis(exposed.run(None, {"image": batch})[-1], 1, -1)
        given = [theirs["probabilities"], tf.nn.softmax(upsampled).numpy()]
        given += [found["probabilities"]] if "probabilities" in found else []
        differences = [np.abs(other - probs).max() for other in given]
        if temperature:
            expected = tf.reduce_max(tf.nn.softmax(scores / temperature), -1).numpy()
            differences.append(np.abs(found["confidence"] / 255 - expected).max() - HALF_A_STEP)
        comparisons.append(
            Comparison(
                shape,
                float(max(differences)),
                float(np.mean(theirs["labels"] != labels)),
                float(np.mean(found["labels"] != labels)),
            )
        )
    return comparisons


def filled(session: onnxruntime.InferenceSession, image: np.ndarray) -> np.ndarray:
    """One image uint8 (1, h, w, 3), as often as a model of fixed batch takes it."""
    count = session.get_inputs()[0].shape[0]
    return np.repeat(image, count, 0) if isinstance(count, int) else image


def agreeing(one: onnx.ModelProto, other: onnx.ModelProto, images: Iterable[np.ndarray]) -> float:
    """Share of the pixels of all images, uint8 (1, h, w, 3), to which two models give the same label.

    Raises:
        datasets.DataError: there is no image.
    """
    sessions = session_of(one), session_of(other)
    same = total = 0
    for image in images:
        batch = filled(sessions[0], image)
        first, second = (session.run(["labels"], {"image": batch})[0][:1] for session in sessions)
        same, total = same + int((first == second).sum()), total + first.size
    if not total:
        raise datasets.DataError("none of the images to compare on can be read.")
    return same / total


def miou(model: onnx.ModelProto, domain: datasets.Domain, names: Sequence[str]) -> float:
    """mIoU in percent of a model that takes the domain's size, counted as `ass_tf.evaluate` does."""
    session = session_of(with_scores(model, upsampled=False))

    def forward(images: Any) -> tuple[None, np.ndarray]:
        image = np.rint(np.asarray(images)).clip(0, 255).astype(np.uint8)
        return None, np.moveaxis(session.run(None, {"image": filled(session, image)})[-1][:1], 1, -1)

    confusion, _ = predictions.score(forward, domain, len(names))
    return metrics.scores_of(confusion, names).miou


def resized(paths: Iterable[Path], size: Sequence[int]) -> Iterator[np.ndarray]:
    """What `read` gives, as uint8 (1, h, w, 3) of `size`."""
    for image in read(paths):
        yield batch_of([image], (1, *size))
