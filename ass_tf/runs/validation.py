"""A validation in training: G's scores, and a few of its predictions kept as pictures."""

import numpy as np
from PIL import Image

from ass_tf import labels
from ass_tf.scoring import metrics, pictures, predictions

KEPT = 4  # validation images whose predictions are kept
LONGEST = 640  # pixels of a kept picture's longer side


class Interrupted(Exception):
    """A validation was given up."""


def validate(run, forward, domain, names, is_interrupted=lambda: False, workers=None):
    """Scores G on a labelled domain, and keeps a few of its predictions under `run`/pictures.

    Args:
        run: RunFolder.
        forward: function from `predictions.build_forward`.
        domain: datasets.Domain.
        names: the class set.
        is_interrupted: function -> bool, asked after each image but the last.
        workers: workers.Workers, each of which scores its share; None: this process scores all.

    Returns:
        scores: Scores.
        picture: uint8 (h, w, 3). Strips of image, truth and prediction; None on workers that are not the chief.

    Raises:
        Interrupted: it was, on any worker.
    """

    def stop_early(done, total):
        if done < total and is_interrupted():
            raise Interrupted

    share, interrupted = (workers.index, workers.count) if workers else (0, 1), False
    confusion, kept = np.zeros((len(names), len(names)), np.int64), []
    try:
        confusion, kept = predictions.score(forward, domain, len(names), keep=KEPT, progress=stop_early, share=share)
    except Interrupted:
        interrupted = True
    if workers:
        *counts, interrupted = workers.total(np.append(confusion, interrupted))
        confusion = np.reshape(counts, confusion.shape)
    if interrupted:
        raise Interrupted
    scores = metrics.scores_of(confusion, names)
    return scores, None if share[0] else _keep(run, kept, names)


def _keep(run, kept, names):
    """Writes the pictures of the kept predictions, and returns them as one."""
    palette = labels.colours(names)
    rows = []
    for index, (_, image, truth, prediction) in enumerate(kept):
        panels = [image, pictures.colour(truth, palette), pictures.colour(prediction, palette)]
        rows.append(pictures.strip(panels, height=192))
        for kind, picture in (("image", image), ("truth", truth), ("prediction", prediction)):
            pictures.save_png(run.picture(index, kind), _shrink(picture, smooth=kind == "image"))
    return pictures.stack(rows)


def _shrink(picture, smooth):
    height, width = picture.shape[:2]
    factor = min(1.0, LONGEST / max(height, width))
    size = round(width * factor), round(height * factor)
    method = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize(size, method))
