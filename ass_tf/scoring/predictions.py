"""A generator scored on a labelled domain: its predictions at the labels' own size, counted in a confusion matrix."""

import numpy as np
import tensorflow as tf

from ass_tf.datasets import pipeline
from ass_tf.models import resize
from ass_tf.scoring import metrics

LARGEST_SCALE = 16


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


def predict(forward, image, size, *, flip=False, scales=(1.0,)):
    """Class of each pixel.

    Args:
        forward: function from `build_forward`.
        image: float32 (h, w, 3). RGB, 0 to 255.
        size: (height, width) of the result.
        flip: bool. Average with the prediction on the mirrored image.
        scales: floats. Average the predictions on the image at these multiples of its size.

    Returns:
        prediction: uint8 (height, width). Train ids.
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
    return tf.cast(tf.argmax(total[0], -1), tf.uint8).numpy()


def score(forward, domain, num_classes, *, flip=False, scales=(1.0,), keep=0, progress=None, share=(0, 1)):
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
    for done, (index, (name, image, truth)) in enumerate(zip(mine, pipeline.evaluation_pairs(domain, places=mine)), 1):
        prediction = predict(forward, image, truth.shape, flip=flip, scales=scales)
        confusion += metrics.confusion_matrix(truth, prediction, num_classes)
        if index in wanted:
            kept.append((name, np.rint(image).clip(0, 255).astype(np.uint8), truth, prediction))
        if progress:
            progress(done, len(mine))
    return confusion, kept
