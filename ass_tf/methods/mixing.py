"""Images pasted into one another with their labels, and what the student sees of them; stateless, on batches.

Source: Olsson et al. 2021 (ClassMix), arXiv 2007.07936; Yun et al. 2019 (CutMix), arXiv 1905.04899; Hu et al. 2021
(AEL), arXiv 2110.05474, for the classes that are pasted.
"""

import tensorflow as tf

from ass_tf.datasets import colour
from ass_tf.datasets.pipeline import DRAWS
from ass_tf.labels import IGNORE

AREA = (0.02, 0.4)  # of a pasted rectangle, as a share of the image
ASPECT = (0.3, 1 / 0.3)  # of its sides
SIGMA = (0.1, 2.0)  # pixels, of a blur


def uniform(seed, stream, images, count):
    """Random numbers of a batch's images.

    Args:
        seed: (int, int64 scalar). Of the run, below 2^31, and number of the step.
        stream: int. Uses of different streams draw independently.
        images: int64 (b,). Numbers of the images within the step, over all replicas.
        count: int.

    Returns:
        float32 (b, count) in [0, 1). A row depends on its image's number, not on the others.
    """

    def of_image(image):
        run, step = (seed[0] << 16) + stream, (tf.cast(seed[1], tf.int64) * 2**16) + image
        return tf.random.stateless_uniform([count], tf.stack([tf.constant(run, tf.int64), step]), alg="philox")

    return tf.map_fn(of_image, images, fn_output_signature=tf.TensorSpec([count], tf.float32))


def fit(images, labels, size, draws):
    """Cuts images to a size, or sets them into it where they are smaller.

    Args:
        images: float32 (b, h, w, 3).
        labels: int32 (b, h, w).
        size: (height, width).
        draws: float32 (b, 2) in [0, 1). The places.

    Returns:
        images: float32 (b, height, width, 3).
        labels: int32 (b, height, width). IGNORE beyond the image.
    """
    for axis, wanted in enumerate(size, start=1):
        missing = max(0, wanted - images.shape[axis])
        padding = [[missing, missing] if i == axis else [0, 0] for i in range(4)]
        images, labels = tf.pad(images, padding), tf.pad(labels, padding[:3], constant_values=IGNORE)
        free = images.shape[axis] - wanted
        if free:
            start = tf.minimum(tf.cast(draws[:, axis - 1] * (free + 1), tf.int32), free)
            places = start[:, None] + tf.range(wanted)
            images = tf.gather(images, places, axis=axis, batch_dims=1) if axis == 1 else _columns(images, places)
            labels = tf.gather(labels, places, axis=axis, batch_dims=1) if axis == 1 else _columns(labels, places)
    return images, labels


def _columns(maps, places):
    turned = tf.experimental.numpy.swapaxes(maps, 1, 2)
    return tf.experimental.numpy.swapaxes(tf.gather(turned, places, axis=1, batch_dims=1), 1, 2)


def class_mask(labels, preference, draws, share):
    """Pixels of half of an image's classes.

    Args:
        labels: int32 (b, h, w).
        preference: float32 (c,). A class is drawn before another with odds exp(preference).
        draws: float32 (b, c + 1) in [0, 1).
        share: float. In so many images classes are drawn at all.

    Returns:
        bool (b, h, w).
    """
    num_classes = preference.shape[0]
    valid = labels != IGNORE
    present = tf.reduce_any(tf.one_hot(labels, num_classes, on_value=True, off_value=False), [1, 2])  # (b, c)
    gumbel = -tf.math.log(-tf.math.log(tf.clip_by_value(draws[:, 1:], 1e-7, 1 - 1e-7)))
    scores = tf.where(present, preference + gumbel, -1e9)
    half = (tf.reduce_sum(tf.cast(present, tf.int32), axis=1) + 1) // 2
    last = tf.gather(tf.sort(scores, axis=1, direction="DESCENDING"), tf.maximum(half - 1, 0), axis=1, batch_dims=1)
    chosen = present & (scores >= last[:, None]) & (draws[:, :1] < share)
    return tf.gather(chosen, tf.where(valid, labels, 0), axis=1, batch_dims=1) & valid


def rectangle_mask(size, draws, share):
    """A rectangle in each image.

    Args:
        size: (h, w).
        draws: float32 (b, 5) in [0, 1).
        share: float. In so many images there is one.

    Returns:
        bool (b, h, w).
    """
    area = AREA[0] + (AREA[1] - AREA[0]) * draws[:, 0]
    aspect = tf.exp(tf.math.log(ASPECT[0]) + tf.math.log(ASPECT[1] / ASPECT[0]) * draws[:, 1])
    sides = tf.minimum(tf.sqrt(tf.stack([area * aspect, area / aspect], axis=1)), 1.0)  # (b, 2), shares of h and w
    starts = (1 - sides) * draws[:, 2:4]
    inside = []
    for axis, length in enumerate(size):
        places = (tf.range(length, dtype=tf.float32) + 0.5) / length
        start, end = starts[:, axis, None], (starts + sides)[:, axis, None]
        inside.append((places >= start) & (places < end))
    drawn = inside[0][:, :, None] & inside[1][:, None, :]
    return drawn & (draws[:, 4] < share)[:, None, None]


def paste(images, labels, donors, donor_labels, mask):
    """What the donors show within the mask, with its labels."""
    return tf.where(mask[..., None], donors, images), tf.where(mask, donor_labels, labels)


def strong_view(images, draws, settings):
    """The student's view: colours, greys and blur changed at random.

    Args:
        images: float32 (b, h, w, 3), 0 to 255.
        draws: float32 (b, DRAWS + 3) in [0, 1).
        settings: schema.SelfTraining.

    Returns:
        float32 (b, h, w, 3), 0 to 255.
    """
    if settings.colour:
        images = colour.recolour(images, draws[:, :DRAWS], settings.colour)
    if settings.grey:
        images = colour.without_colour(images, draws[:, DRAWS] < settings.grey)
    if settings.blur:
        sigmas = SIGMA[0] + (SIGMA[1] - SIGMA[0]) * draws[:, DRAWS + 2]
        images = colour.blur(images, tf.where(draws[:, DRAWS + 1] < settings.blur, sigmas, 0.0))
    return images
