"""Where the features of both domains lie: class means, which the report draws."""

import dataclasses
import zipfile

import numpy as np
import tensorflow as tf
from PIL import Image

from ass_tf import datasets
from ass_tf.datasets import pipeline
from ass_tf.methods import losses
from ass_tf.models import resize
from ass_tf.system import storage


def note(run, when, judge, domains, config):
    """Writes the features' class means, `before` the first step or `after` the last, of a run that knows both domains.

    Args:
        run: RunFolder.
        when: "before" or "after".
        judge: function that returns G's forward pass, as `session.build_judge` makes it.
        domains: dict of role -> datasets.Domain.
        config: Config.
    """
    count, target = config.train.feature_images, domains.get("validation") or domains.get("labelled")
    if count and target and "source" in domains:
        both = {"source": domains["source"], "target": target}
        write_means(run.features(when), judge(), both, len(config.class_names), count)


def write_means(file, forward, domains, num_classes, count):
    """Writes the class means of each domain's features, over images spread over it (eq. 4, then the mean over images).

    A run that began with the first images of each domain, as version 0.1.0 did, ends with them, too.

    Args:
        file: Path of an .npz: an array float32 (c, d) for each domain, NaN rows for classes that it lacks there, and
            `spread`, which says how the images were chosen. A before.npz next to it is taken into account.
        forward: function from `predictions.build_forward`.
        domains: dict of name -> datasets.Domain with labels.
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
        cells = resize.downsample_labels(tf.constant(truth[None]), tf.shape(features)[1:3])
        means, present = losses.class_means(features, cells, num_classes)
        total, images = total + means[0].numpy(), images + present[0].numpy()[:, None]
    return np.divide(total, images, out=np.full_like(total, np.nan), where=images > 0)
