"""Equations 1 to 8, in the paper's order: one value per image.

Every sum of the paper is a mean here (over valid pixels, over the map, over present classes), and an image with nothing
valid gives loss 0 and gradient 0.

Source: Wang et al. 2020, arXiv 2004.00794, section 3.
"""

import math

import tensorflow as tf

from ass_tf.labels import IGNORE, TARGET

FEWEST = 16  # hard pixels are always one of so many


def _mean_over_valid(values, valid):
    """Mean of each image's valid values, 0 where there is none.

    Args:
        values: float32 (b, ...).
        valid: bool, same shape.

    Returns:
        float32 (b,).
    """
    axes = list(range(1, values.shape.rank))
    total = tf.reduce_sum(tf.where(valid, values, 0.0), axes)
    return tf.math.divide_no_nan(total, tf.reduce_sum(tf.cast(valid, tf.float32), axes))


def _cross_entropy_of_classes(logits, labels, offset=0):
    """- log softmax(logits)[label + offset], mean over each image's valid cells.

    Args:
        logits: float32 (b, ..., channels).
        labels: int32 (b, ...). IGNORE cells take no part.
        offset: int added to the labels.

    Returns:
        float32 (b,).
    """
    valid = labels != IGNORE
    channel = tf.where(valid, labels + offset, 0)
    return _mean_over_valid(tf.nn.sparse_softmax_cross_entropy_with_logits(channel, logits), valid)


def _cross_entropy_of_domain(logits, domain):
    """- log softmax(logits)[domain], mean over the map: (b, u, v, 2) -> (b,)."""
    return tf.reduce_mean(-tf.nn.log_softmax(logits)[..., domain], [1, 2])


def segmentation_loss(logits, labels, class_weights=None, hard_pixels=None):
    """Cross-entropy of the segmentation, mean over valid pixels (eq. 1).

    Args:
        logits: float32 (b, h, w, c).
        labels: int32 (b, h, w). IGNORE pixels take no part.
        class_weights: floats (c,), by which the mean is weighted; None: all alike.
        hard_pixels: float. Only pixels whose class has at most this probability take part, or, where those are fewer
            than a sixteenth of the image, the sixteenth whose class has least; None: all.

    Returns:
        float32 (b,).

    Example:
        >>> logits = tf.math.log([[[[0.5, 0.5], [0.25, 0.75]]]])
        >>> segmentation_loss(logits, tf.constant([[[0, IGNORE]]])).numpy().round(3)  # log 2
        array([0.693], dtype=float32)
    """
    if class_weights is None and hard_pixels is None:
        return _cross_entropy_of_classes(logits, labels)
    valid = labels != IGNORE
    channel = tf.where(valid, labels, 0)
    values = tf.nn.sparse_softmax_cross_entropy_with_logits(channel, logits)
    weights = tf.cast(valid, tf.float32)
    if hard_pixels is not None:
        flat = tf.reshape(tf.where(valid, values, 0.0), (values.shape[0], -1))
        least = tf.math.top_k(flat, max(flat.shape[1] // FEWEST, 1), sorted=True).values[:, -1]
        bound = tf.minimum(least, -math.log(max(hard_pixels, 1e-6)))
        easy = tf.stop_gradient(values) < bound[:, None, None]  # NaN is not: the loss must tell of it
        weights *= tf.cast(tf.logical_not(easy), tf.float32)
    if class_weights is not None:
        weights *= tf.gather(tf.constant(class_weights), channel)
    axes = [1, 2]
    return tf.math.divide_no_nan(
        tf.reduce_sum(weights * tf.where(valid, values, 0.0), axes), tf.reduce_sum(weights, axes)
    )


def global_adversarial_loss(logits, domain=TARGET):
    """How far D_g is from taking these images for `domain`'s; trains G (eq. 2).

    Args:
        logits: float32 (b, u, v, 2). D_g's output, for the source image in the paper.
        domain: TARGET in the paper; SOURCE for target images in the other direction.

    Returns:
        float32 (b,).
    """
    return _cross_entropy_of_domain(logits, domain)


def global_discriminator_loss(logits, domain):
    """How far D_g is from knowing these images' domain; trains D_g (eq. 3, one domain's term).

    Args:
        logits: float32 (b, u, v, 2).
        domain: SOURCE or TARGET, where the images come from.

    Returns:
        float32 (b,).
    """
    return _cross_entropy_of_domain(logits, domain)


def class_means(features, labels, num_classes):
    """Mean feature of each class over the cells that carry it (eq. 4).

    Args:
        features: float (b, u, v, d).
        labels: int32 (b, u, v). Train ids; IGNORE cells take no part.
        num_classes: int, c.

    Returns:
        means: float32 (b, c, d). Zero for an absent class.
        present: bool (b, c).
    """
    members = tf.one_hot(labels, num_classes)  # (b, u, v, c); IGNORE lies outside and becomes zeros
    counts = tf.reduce_sum(members, [1, 2])
    sums = tf.einsum("buvc,buvd->bcd", members, tf.cast(features, tf.float32))
    return tf.math.divide_no_nan(sums, counts[..., None]), counts > 0


def _class_vector_labels(present):
    """The class index of every present class vector, IGNORE for the others: bool (b, c) -> int32 (b, c)."""
    return tf.where(present, tf.range(present.shape[1], dtype=tf.int32)[None], IGNORE)


def fcsa_adversarial_loss(logits, present, domain=TARGET):
    """How far D_s is from taking these class vectors for `domain`'s; trains G (eq. 5).

    Args:
        logits: float32 (b, c, 2c). D_s's output for the vectors of `class_means`.
        present: bool (b, c). Absent classes take no part.
        domain: TARGET in the paper; SOURCE for target images in the other direction.

    Returns:
        float32 (b,).
    """
    return _cross_entropy_of_classes(logits, _class_vector_labels(present), domain * present.shape[1])


def fcsa_discriminator_loss(logits, present, domain):
    """How far D_s is from knowing class and domain of these class vectors; trains D_s (eq. 6, one domain's term).

    Args:
        logits: float32 (b, c, 2c).
        present: bool (b, c).
        domain: SOURCE or TARGET, where the images come from.

    Returns:
        float32 (b,).
    """
    return _cross_entropy_of_classes(logits, _class_vector_labels(present), domain * present.shape[1])


def csa_adversarial_loss(logits, labels, domain=TARGET):
    """How far D_s is from taking every cell for `domain`'s, class known; trains G (eq. 7).

    Args:
        logits: float32 (b, u, v, 2c). D_s's output.
        labels: int32 (b, u, v). IGNORE cells take no part.
        domain: TARGET in the paper; SOURCE for target images in the other direction.

    Returns:
        float32 (b,).
    """
    return _cross_entropy_of_classes(logits, labels, domain * (logits.shape[-1] // 2))


def csa_discriminator_loss(logits, labels, domain):
    """How far D_s is from knowing class and domain of every cell; trains D_s (eq. 8, one domain's term).

    Args:
        logits: float32 (b, u, v, 2c).
        labels: int32 (b, u, v). IGNORE cells take no part.
        domain: SOURCE or TARGET, where the images come from.

    Returns:
        float32 (b,).
    """
    return _cross_entropy_of_classes(logits, labels, domain * (logits.shape[-1] // 2))
