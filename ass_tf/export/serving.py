"""The trained generator as it leaves the laboratory: raw images in, label maps out, all between inside the graph.

serving_default(image: uint8 (n, h, w, 3), RGB) -> labels: uint8 (n, h, w); probabilities: float32 (n, h, w, c);
confidence: uint8 (n, h, w)
"""

import os
import shutil
from pathlib import Path

import tensorflow as tf

from ass_tf.models import resize
from ass_tf.system import storage, terminal


class Serving(tf.Module):
    """A generator and the function that serves it.

    Attributes:
        serve: tf.function. image uint8 (n, h, w, 3) -> dict of `labels` uint8 (n, h, w), train ids, and, if asked for,
            `probabilities` float32 (n, h, w, c) and `confidence` uint8 (n, h, w).
    """

    def __init__(self, generator, *, probabilities=False, temperature=None, size=(None, None), batch=None):
        """
        Args:
            generator: keras.Model. Images float32 (n, h, w, 3), RGB, 0 to 255 -> (features, logits).
            probabilities: bool. Give the softmax as well.
            temperature: float. Give the confidence as well: 255 times the largest softmax of the logits over the
                temperature, rounded.
            size: (h, w) that the function takes; None stands for any.
            batch: int, n that the function takes; None for any.
        """
        super().__init__(name="serving")
        self.generator = generator

        @tf.function(input_signature=[tf.TensorSpec((batch, *size, 3), tf.uint8, "image")])
        def serve(image):
            logits = generator(tf.cast(image, tf.float32), training=False)[1]
            scores = resize.upsample(logits, tf.shape(image)[1:3] if None in size else size)
            result = {"labels": tf.cast(tf.argmax(scores, -1, output_type=tf.int32), tf.uint8)}
            if probabilities:
                result["probabilities"] = tf.nn.softmax(scores)
            if temperature:
                below = (scores - tf.reduce_max(scores, -1, keepdims=True)) / temperature
                largest = 1 / tf.reduce_sum(tf.exp(below), -1)
                result["confidence"] = tf.cast(tf.round(255 * largest), tf.uint8)
            return result

        self.serve = serve


def save(serving, folder, files=None):
    """Write a SavedModel as the next version of TensorFlow Serving's layout.

    Args:
        serving: Serving.
        folder: Path. Versions 1, 2, ... lie in it; the new one gets its number when it is complete.
        files: dict of name -> bytes, written to assets.extra/, which TensorFlow leaves alone.

    Returns:
        version: Path of the SavedModel.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / ".part"
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a kill
    try:
        tf.saved_model.save(serving, str(unfinished), signatures={"serving_default": serving.serve})
        for name, content in (files or {}).items():
            (unfinished / "assets.extra").mkdir(exist_ok=True)
            (unfinished / "assets.extra" / name).write_bytes(content)
        version = storage.next_version(folder)
        os.rename(unfinished, version)
    except tf.errors.OpError as error:
        raise OSError(f"{folder}: the SavedModel cannot be written: {terminal.reason(error)}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return version
