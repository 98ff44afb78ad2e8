"""What a run notes of itself beside its losses: validation scores and pictures, and where its features lie.

When that is done is left to `train`.
"""

import dataclasses
import zipfile

import numpy as np
import tensorflow as tf
from PIL import Image

from ass_tf import datasets, labels
from ass_tf.datasets import pipeline
from ass_tf.methods import losses
from ass_tf.models import deeplab
from ass_tf.scoring import metrics, pictures, predictions
from ass_tf.system import storage

KEPT = 4  # validation images whose predictions are kept
LONGEST = 640  # pixels of a kept picture's longer side


class Interrupted(Exception):
    """A validation was given up."""


def validate(run, generator, forward, domain, names, is_interrupted):
    """Scores G on a labelled domain, and keeps a few of its predictions under `run`/pictures.

    Args:
        run: Path.
        generator: keras.Model.
        forward: function from `scoring.build_forward`.
        domain: files.Domain.
        names: the class set.
        is_interrupted: function -> bool, asked after each image but the last.

    Returns:
        scores: dict, as `metrics.summary` returns it, with `confusion`, rows of int.
        picture: uint8 (h, w, 3). Strips of image, truth and prediction.

    Raises:
        Interrupted: it was.
    """

    def stop_early(done, total):
        if done < total and is_interrupted():
            raise Interrupted

    given = {"keep": KEPT, "forward": forward, "progress": stop_early}
    confusion, kept = predictions.score(generator, domain, len(names), **given)
    palette = labels.colours(names)
    rows = []
    for index, (_, image, truth, prediction) in enumerate(kept):
        panels = [image, pictures.colour(truth, palette), pictures.colour(prediction, palette)]
        rows.append(pictures.strip(panels, height=192))
        for kind, picture in (("image", image), ("truth", truth), ("prediction", prediction)):
            pictures.save_png(run / f"pictures/{index}_{kind}.png", _shrink(picture, smooth=kind == "image"))
    return {**metrics.summary(confusion, names), "confusion": confusion.tolist()}, pictures.stack(rows)


def _shrink(picture, smooth):
    height, width = picture.shape[:2]
    factor = min(1.0, LONGEST / max(height, width))
    size = round(width * factor), round(height * factor)
    method = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize(size, method))


def note_features(file, forward, domains, num_classes, count):
    """Writes the class means of each domain's features, over images spread over it (eq. 4, then the mean over images).

    A run that began with the first images of each domain, as version 0.1.0 did, ends with them, too.

    Args:
        file: Path of an .npz: an array float32 (c, d) for each domain, NaN rows for classes that it lacks there, and
            `spread`, which tells how the images were chosen. A before.npz beside it is taken into account.
        forward: function from `scoring.build_forward`.
        domains: dict of name -> files.Domain with labels.
        num_classes: int, c.
        count: int. Images of each domain.
    """
    choose = datasets.spread if _spreads(file.with_name("before.npz")) else lambda pairs, count: pairs[:count]
    chosen = {name: dataclasses.replace(d, pairs=tuple(choose(d.pairs, count))) for name, d in domains.items()}
    means = {name: _means_of(forward, domain, num_classes) for name, domain in chosen.items()}
    with storage.replacing(file) as unfinished, open(unfinished, "wb") as stream:
        np.savez_compressed(stream, **means, spread=choose is datasets.spread)


def _spreads(before):
    """Whether images are to be spread over their domain: unless a run's first means are of its first images."""
    try:
        with open(before, "rb") as file, np.load(file) as found:
            return "spread" in found and bool(found["spread"])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return True


def _means_of(forward, domain, num_classes):
    total, images = 0.0, np.zeros((num_classes, 1), np.float32)
    for _, image, truth in pipeline.evaluation_pairs(domain):
        truth = np.asarray(Image.fromarray(truth).resize(image.shape[1::-1], Image.Resampling.NEAREST), np.int32)
        features, _ = forward(tf.constant(image[None]))
        cells = deeplab.downsample_labels(tf.constant(truth[None]), tf.shape(features)[1:3])
        means, present = losses.class_means(features, cells, num_classes)
        total, images = total + means[0].numpy(), images + present[0].numpy()[:, None]
    return np.divide(total, images, out=np.full_like(total, np.nan), where=images > 0)
