"""Data sets of drawn streets, in the layouts of GTA5 (look "game") and Cityscapes (look "camera")."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import json
import multiprocessing
import os
import signal
from pathlib import Path

from PIL import Image

from ass_tf import labels
from ass_tf.streets.scene import draw_scene
from ass_tf.system import storage

CITIES = {"train": "drawnville", "val": "penciltown", "test": "inkstadt"}
OF_SEED = 1_000_000  # scenes of a look that a seed has
OF_SPLIT = OF_SEED // 4  # scenes of a split


def _write(path: Path, image: Image.Image) -> None:
    """Writes a PNG so that a killed process leaves no half of one."""
    with storage.replacing(path) as unfinished:
        image.save(unfinished, "PNG")


def _claim(root: Path, **made: object) -> None:
    """Notes in drawn.json what a folder's scenes are made of, or finds that what is there is of the same making."""
    record, text = root / "drawn.json", json.dumps(made, sort_keys=True) + "\n"
    noted = storage.read_text(record) if record.exists() else ""
    if noted == text:
        return
    if root.exists() and any(path.name[0] != "." for path in root.iterdir()):
        there = storage.shown(noted.strip()) or "files that were not drawn"
        raise ValueError(f"{root}: the folder must be new or hold scenes of {text.strip()}. Received: {there}.")
    storage.write_text(record, text)


def _draw_files(job: tuple[str, int, tuple[int, int], Path, Path]) -> None:
    look, seed, size, image_path, label_path = job
    if image_path.exists() and label_path.exists():
        return
    image, label = draw_scene(look, seed, size)
    if not image_path.exists():
        _write(image_path, Image.fromarray(image))
    if not label_path.exists():
        picture = Image.fromarray(label)
        if look == "game":
            picture.putpalette(labels.gta5_palette())
        _write(label_path, picture)


def _draw_all(jobs) -> None:
    if len(jobs) <= 16:
        for job in jobs:
            _draw_files(job)
        return
    # A fork would copy TensorFlow's threads in an unusable state.
    spawn, quiet = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), spawn, signal.signal, quiet) as pool:
        try:
            for _ in pool.map(_draw_files, jobs, chunksize=4):
                pass
        except concurrent.futures.process.BrokenProcessPool:
            raise OSError("a process that draws was killed; what it drew is kept, so call again to go on.") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_gta5(root: Path, count: int, seed: int, size: tuple[int, int]) -> None:
    """Draws game scenes in the layout of GTA5's download; files that exist are kept.

    Args:
        root: folder that gets images/00001.png and labels/00001.png (palette PNG, index = raw id) and so on.
        count: int, pictures; up to OF_SEED, after which come those of the next seed.
        seed: int, at least 0.
        size: (h, w) in pixels.

    Raises:
        ValueError: the folder holds something else, or scenes of another seed or size.
        OSError: a file cannot be written, or a process that draws was killed.
    """
    names = [f"{i:05d}.png" for i in range(1, count + 1)]
    root = Path(root)
    _claim(root, look="game", seed=seed, size=size)
    _draw_all(
        [("game", seed * OF_SEED + i, size, root / "images" / n, root / "labels" / n) for i, n in enumerate(names)]
    )


def write_cityscapes(root: Path, counts: dict[str, int], seed: int, size: tuple[int, int]) -> None:
    """Draws camera scenes in Cityscapes' layout; files that exist are kept.

    Args:
        root: folder that gets leftImg8bit/<split>/<city>/ and gtFine/<split>/<city>/ (grey PNG of raw ids).
        counts: pictures by split: train, val, test; up to OF_SPLIT, after which come those of the next split.
        seed: int, at least 0.
        size: (h, w) in pixels.

    Raises:
        ValueError: a split is not one of CITIES, or the folder holds something else, or scenes of another seed or size.
        OSError: a file cannot be written, or a process that draws was killed.
    """
    jobs, root = [], Path(root)
    for split in counts:
        if split not in CITIES:
            raise ValueError(f"counts must name splits among {', '.join(CITIES)}. Received: {split}.")
    _claim(root, look="camera", seed=seed, size=size)
    for split, count in counts.items():
        city, first = CITIES[split], seed * OF_SEED + OF_SPLIT * (1 + list(CITIES).index(split))
        for i in range(count):
            stem = f"{city}_{i:06d}_000019"
            image = root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
            label = root / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png"
            jobs.append(("camera", first + i, size, image, label))
    _draw_all(jobs)
