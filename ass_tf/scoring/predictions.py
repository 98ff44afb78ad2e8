"""A generator scored on a labelled domain: its predictions at the labels' own size, counted in a confusion matrix."""

import dataclasses

import numpy as np
import tensorflow as tf

from ass_tf.datasets import pipeline
from ass_tf.models import resize
from ass_tf.scoring import metrics

LARGEST_SCALE = 16
TINY = 1e-30  # a probability whose logarithm is still a number


def build_forward(generator):
    """The generator as a graph function, traced once for images of any size.

    Args:
        generator: keras.Model. Images (b, h, w, 3) -> the pair (features, logits).

    Returns:
        forward: function. Images float32 (b, h, w, 3) -> features float32 (b, u, v, d), logits float32 (b, u, v, c).
    """

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
    def forward(images):
        features, logits = generator(images, training=False)
        return tf.cast(features, tf.float32), tf.cast(logits, tf.float32)

    return forward


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """An image, and what the network makes of it.

    Attributes:
        name: of the pair.
        image: uint8 (h, w, 3).
        truth: uint8 (h', w'), train ids.
        prediction: uint8 (h', w').
        confusion: int64 (c, c).
        logits: float32 (h', w', c); of several passes the logarithm of their mean softmax.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    confusion: np.ndarray
    logits: np.ndarray | None = None

    def without_logits(self):
        """The same, without the largest part of it."""
        return dataclasses.replace(self, logits=None)


def evidence_of(forward, image, size, *, flip=False, scales=(1.0,)):
    """Evidence for each class at each pixel; the largest decides.

    Args:
        forward: function from `build_forward`.
        image: float32 (h, w, 3). RGB, 0 to 255.
        size: (height, width) of the result.
        flip: bool. Average with the prediction on the mirrored image.
        scales: floats. Average the predictions on the image at these multiples of its size.

    Returns:
        evidence: float32 tensor (height, width, c). Upsampled logits of one pass; of several passes the sum of the
            softmax of each.
    """
    images = tf.convert_to_tensor(image, tf.float32)[None]
    size = tuple(int(n) for n in size)
    passes = len(scales) * (2 if flip else 1)
    total = None
    for scale in scales:
        scaled = images
        if scale != 1:
            wanted = [max(1, round(scale * n)) for n in images.shape[1:3]]
            scaled = tf.image.resize(images, wanted, antialias=True)
        for mirror in (False, True)[: 2 if flip else 1]:
            _, logits = forward(tf.reverse(scaled, [2]) if mirror else scaled)
            if mirror:
                logits = tf.reverse(logits, [2])  # on the small grid: aligned corners mirror into each other
            evidence = resize.upsample(logits, size)  # (1, height, width, c)
            if passes > 1:
                evidence = tf.nn.softmax(evidence)
            total = evidence if total is None else total + evidence
    return total[0]


def predict(forward, image, size, **options):
    """Class of each pixel, uint8 (height, width); arguments as of `evidence_of`."""
    return _decided(evidence_of(forward, image, size, **options))


def _decided(evidence):
    return tf.cast(tf.argmax(evidence, -1), tf.uint8).numpy()


def score(forward, domain, num_classes, *, flip=False, scales=(1.0,), keep=0, progress=None, share=(0, 1), each=None):
    """Predict every labelled image of a domain and count.

    One pass takes the argmax of the upsampled logits, as AdaptSegNet does; with `flip` or several scales it is the
    argmax of the mean of the upsampled logits' softmax.

    Args:
        forward: function from `build_forward`.
        domain: datasets.Domain. Predictions are made on images of its `size`, and judged at each label's own size.
        num_classes: int, c.
        flip: bool. Average with the mirrored image.
        scales: floats above 0, up to LARGEST_SCALE. Average over these multiples of the domain's size.
        keep: int. Number of images, evenly spread over the domain, to return for pictures.
        progress: function of (images done, images in all), called after each.
        share: (i, n). Score the i-th of n shares of the images only, of which the first has those that are kept.
        each: function of Judged, called with every image.

    Returns:
        confusion: int64 (c, c).
        kept: list of (name, image uint8 (h, w, 3), truth uint8 (h', w'), prediction uint8 (h', w')).

    Raises:
        ValueError: `scales` is empty or has a number that is not above 0.
    """
    if not scales or not all(0 < scale <= LARGEST_SCALE for scale in scales):
        raise ValueError(f"scales must be numbers above 0, up to {LARGEST_SCALE}. Received: {list(scales)}.")
    everything = range(len(domain.pairs))
    keep = min(keep, len(everything))
    wanted = {(2 * i + 1) * len(everything) // (2 * keep) for i in range(keep)}
    order, (which, shares) = sorted(everything, key=lambda index: index not in wanted), share
    start, end = (max(i * len(order) // shares, keep if i else 0) for i in (which, which + 1))
    mine = sorted(order[start:end])
    confusion = np.zeros((num_classes, num_classes), np.int64)
    kept = []
    passes = len(scales) * (2 if flip else 1)
    for done, (index, (name, image, truth)) in enumerate(zip(mine, pipeline.evaluation_pairs(domain, places=mine)), 1):
        evidence = evidence_of(forward, image, truth.shape, flip=flip, scales=scales)
        prediction = _decided(evidence)
        of_image = metrics.confusion_matrix(truth, prediction, num_classes)
        confusion += of_image
        if index in wanted or each:
            pixels = np.rint(image).clip(0, 255).astype(np.uint8)
        if index in wanted:
            kept.append((name, pixels, truth, prediction))
        if each:
            logits = tf.math.log(tf.maximum(evidence / passes, TINY)) if passes > 1 else evidence
            each(Judged(name, pixels, truth, prediction, of_image, logits.numpy()))
        if progress:
            progress(done, len(mine))
    return confusion, kept
