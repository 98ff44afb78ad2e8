"""How often the discriminators are right."""

import tensorflow as tf

from ass_tf.labels import IGNORE

CHANCE = 0.5


def global_accuracy(logits, domain):
    """Share of D_g's cells that name the right domain.

    Args:
        logits: float32 (b, u, v, 2).
        domain: SOURCE or TARGET, where the images come from.

    Returns:
        float32 (b,). From 0 to 1.
    """
    right = (logits[..., 1] > logits[..., 0]) == bool(domain)
    return tf.reduce_mean(tf.cast(right, tf.float32), [1, 2])


def semantic_accuracy(logits, labels, domain):
    """Share of D_s' class vectors or cells that get the right domain, whatever their class.

    Args:
        logits: float32 (b, ..., 2c). The first c for the source.
        labels: int32 (b, ...), where IGNORE takes no part; or bool (b, ...), true where a class is present.
        domain: SOURCE or TARGET, where the images come from.

    Returns:
        float32 (b,). From 0 to 1; chance, 0.5, for an image in which nothing takes part.
    """
    valid = labels if labels.dtype == tf.bool else labels != IGNORE
    # TensorFlow's optimiser of layouts on GPUs gives a whole graph up at reduce_logsumexp.
    source, target = (tf.reduce_sum(half, -1) for half in tf.split(tf.nn.softmax(logits), 2, axis=-1))
    right = ((target > source) == bool(domain)) & valid
    axes = list(range(1, valid.shape.rank))
    count = tf.reduce_sum(tf.cast(valid, tf.float32), axes)
    share = tf.math.divide_no_nan(tf.reduce_sum(tf.cast(right, tf.float32), axes), count)
    return tf.where(count > 0, share, CHANCE)
