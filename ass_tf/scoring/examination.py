"""What a mean hides: the scores of single images, the worst of them, and how far confidence can be trusted."""

from __future__ import annotations

import csv
import heapq
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ass_tf import labels
from ass_tf.scoring import diagram, metrics, pictures
from ass_tf.scoring.calibration import Sample
from ass_tf.scoring.predictions import Judged


class Examination:
    """Takes in one judged image after the other.

    Args:
        names: the class set.
        images: how many there will be.
        worst: how many of the lowest mIoU are kept for a picture.

    Attributes:
        rows: name, mIoU, pixel accuracy and the IoU of each class of each image, as text; percent, or empty where there
            is no value.
    """

    def __init__(self, names: Sequence[str], images: int, worst: int) -> None:
        self.names, self.rows = tuple(names), []
        self._most, self._sample = worst, Sample(images)
        self._kept: list[tuple[float, int, Judged]] = []  # a heap; its first is the best of the worst

    def add(self, judged: Judged) -> None:
        """One more image."""
        scores = metrics.scores_of(judged.confusion, self.names)
        values = [scores.miou, scores.pixel_accuracy, *scores.iou.values()]
        self.rows.append([judged.name, *("" if value is None else f"{value:.2f}" for value in values)])
        self._sample.add(judged.logits, judged.truth)
        if scores.miou is not None and self._most:
            heapq.heappush(self._kept, (-scores.miou, -len(self.rows), judged.without_logits()))
            if len(self._kept) > self._most:
                heapq.heappop(self._kept)

    def worst(self) -> Iterator[tuple[float, Judged]]:
        """The kept images with their mIoU in percent, the lowest first."""
        for negative, _, judged in sorted(self._kept, key=lambda item: item[:2], reverse=True):
            yield -negative, judged

    def write(self, out: Path, which: str) -> dict[str, Any]:
        """Writes strips/WHICH_worst.png and reliability_WHICH.png.

        Args:
            out: folder.
            which: name of the snapshot.

        Returns:
            noted: `worst`, images and their mIoU; `calibration`, as `Sample.result` has it, None without a valid pixel.
        """
        worst = list(self.worst())
        if worst:
            pictures.save_png(out / f"strips/{which}_worst.png", _sheet(worst, self.names))
        found = self._sample.result()
        if found:
            pictures.save_png(out / f"reliability_{which}.png", diagram.draw(found[1], _captions(found[0])))
        images = [{"image": judged.name, "miou": miou} for miou, judged in worst]
        return {"worst": images, "calibration": found and found[0]}


def _sheet(worst: Sequence[tuple[float, Judged]], names: Sequence[str]) -> Any:
    palette, rows = labels.colours(names), []
    for miou, judged in worst:
        panels = [judged.image, pictures.colour(judged.truth, palette), pictures.colour(judged.prediction, palette)]
        titles = [f"{miou:.1f} % mIoU: {judged.name}", "truth", "prediction"]
        rows.append(pictures.strip(panels, titles, pictures.SHEET_HEIGHT))
    return pictures.stack([*rows, pictures.legend(names, palette, rows[0].shape[1])])


def _captions(noted: Mapping[str, Any]) -> list[str]:
    lines = [f"calibration error {noted['error']:.1f} %"]
    if noted["error_with_temperature"] is not None:
        lines.append(f"with temperature {noted['temperature']:.2f}: {noted['error_with_temperature']:.1f} %")
    return lines


def table_of(examined: Mapping[str, Examination]) -> str:
    """A CSV table by snapshot and image; see `Examination.rows`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = next(iter(examined.values())).names
    writer.writerow(["snapshot", "image", "miou", "pixel_accuracy", *names])
    for which, examination in examined.items():
        writer.writerows([which, *row] for row in examination.rows)
    return text.getvalue()
