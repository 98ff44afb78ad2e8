"""Random changes of images that leave every pixel's class as it is: colours, greys, blur; stateless, on batches."""

import tensorflow as tf

GREY = (0.299, 0.587, 0.114)  # Rec. 601, as Pillow's L
REACH = 4  # pixels on each side of a blur's centre


def recolour(images, draws, colour):
    """Random brightness, contrast, saturation and tint.

    Args:
        images: float32 (b, h, w, 3), 0 to 255.
        draws: float32 (b, DRAWS) in [0, 1).
        colour: float, strength. Brightness, contrast and saturation change by up to colour / 2 of their value, and each
            channel by up to colour / 10.

    Returns:
        images: float32 (b, h, w, 3), 0 to 255.
    """
    # Paper silent: no augmentation is described; the ranges are ours.
    change = colour * (2 * draws[:, None, None, 4:] - 1)  # (b, 1, 1, 6)
    brightness, contrast, saturation = tf.split(1 + change[..., :3] / 2, 3, axis=-1)
    images = images * brightness * (1 + change[..., 3:] / 10)
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    images = mean + contrast * (images - mean)
    grey = _grey(images)
    return tf.clip_by_value(grey + saturation * (images - grey), 0.0, 255.0)


def _grey(images):
    return tf.reduce_sum(images * GREY, axis=-1, keepdims=True)


def without_colour(images, chosen):
    """The chosen images in grey: float32 (b, h, w, 3), bool (b,) -> float32 (b, h, w, 3)."""
    return tf.where(chosen[:, None, None, None], _grey(images), images)


def blur(images, sigmas):
    """Gaussian blur.

    Args:
        images: float32 (b, h, w, 3), more than REACH pixels high and wide.
        sigmas: float32 (b,), in pixels; 0 leaves an image as it is.

    Returns:
        float32 (b, h, w, 3). Beyond the edge the image is its mirror.
    """
    offsets = tf.range(-REACH, REACH + 1, dtype=tf.float32)
    weights = tf.exp(-0.5 * tf.square(offsets / tf.maximum(sigmas, 1e-3)[:, None]))  # (b, taps)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    for axis in (1, 2):
        padding = [[REACH, REACH] if i == axis else [0, 0] for i in range(4)]
        padded, length = tf.pad(images, padding, mode="REFLECT"), images.shape[axis]
        places = range(2 * REACH + 1)
        shifted = [padded[:, p : p + length] if axis == 1 else padded[:, :, p : p + length] for p in places]
        images = tf.add_n([weights[:, p, None, None, None] * shifted[p] for p in places])
    return images
