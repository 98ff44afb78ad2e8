"""Resizing between pixels and feature cells, with aligned corners as in AdaptSegNet."""

import tensorflow as tf


def upsample(scores, size):
    """Bilinear resize with aligned corners, AdaptSegNet's.

    Args:
        scores: float (b, u, v, c).
        size: (h, w).

    Returns:
        float32 (b, h, w, c).
    """
    return tf.raw_ops.ResizeBilinear(images=tf.cast(scores, tf.float32), size=size, align_corners=True)


def downsample_labels(labels, size):
    """Label of the pixel under each feature cell's centre: nearest, aligned corners.

    Args:
        labels: int32 (b, h, w).
        size: (u, v).

    Returns:
        int32 (b, u, v). IGNORE stays IGNORE.
    """
    resized = tf.raw_ops.ResizeNearestNeighbor(images=labels[..., None], size=size, align_corners=True)
    return resized[..., 0]
