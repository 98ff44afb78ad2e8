"""The data of a settings file: checked and counted, or listed.

python -m ass_tf.datasets CONFIG [--set KEY=VALUE]   decode every file, then print what there is
python -m ass_tf.datasets CONFIG --list labelled     names, one a line, for use as a list file
python -m ass_tf.datasets --guess FOLDER             a classes.json to start from, by the label files of a folder
"""

from __future__ import annotations

import argparse
import colorsys
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ass_tf import config, labels
from ass_tf.config.layouts import PHOTOGRAPHS
from ass_tf.datasets.checking import Facts, check
from ass_tf.datasets.decoding import open_image, raw_pixels
from ass_tf.datasets.domain import DataError, Domain
from ass_tf.datasets.finding import walk
from ass_tf.datasets.roles import open_roles, spread, unmatched
from ass_tf.system import option, storage, terminal
from street_inference import drawing

LOOKED_AT = 50  # labels
RARE = 1e-4  # share of the pixels below which a colour is taken for a mistake, such as those of a blurred edge


def _shares(pixels: np.ndarray, ignored: int, count: int) -> np.ndarray:
    """Share of the pixels of each train id, and of all others, by what `Facts` holds; float64 (count + 1,)."""
    totals = np.append(pixels.sum(0, np.int64)[:count], ignored)
    return totals / max(totals.sum(), 1)


def _describe(domains: Mapping[str, Domain], facts: Mapping[str, Facts], classes: Sequence[str]) -> None:
    print(f"{'domain':<12}{'images':>8}{'labels':>8}  sizes found (height x width: images)")
    for role, domain in domains.items():
        sizes = facts[role].sizes
        found = ", ".join(f"{h} x {w}: {n}" for (h, w), n in sizes.most_common(5))
        more = f" and {len(sizes) - 5} more" if len(sizes) > 5 else ""
        print(f"{role:<12}{len(domain.pairs):>8}{sum(p.label is not None for p in domain.pairs):>8}  {found}{more}")
    shares = {
        role: _shares(found.pixels, found.ignored, len(classes))
        for role, found in facts.items()
        if found.pixels is not None
    }
    width = max(len(name) for name in (*classes, "share of pixels")) + 2
    print(f"\n{'share of pixels':<{width}}" + "".join(f"{role:>12}" for role in shares))
    for row, name in enumerate((*classes, "(ignored)")):
        print(f"{name:<{width}}" + "".join(f"{share[row]:>12.2%}" for share in shares.values()))


def _guess(folder: Path, picture: Path | None) -> None:
    """Prints a class file of what the labels of a folder hold, and on stderr the shares; draws one of them."""
    files = [folder / name for name in walk(folder) if name.lower().endswith(".png")]
    if not files:
        raise DataError(f"{folder}: holds no label named *.png.")
    looked_at = spread(files, LOOKED_AT)
    found, kinds = np.zeros(1 << 24, np.int64), set()
    for file in looked_at:
        pixels = raw_pixels(file)
        kinds.add(pixels.ndim)
        values, counts = np.unique(_packed(pixels), return_counts=True)
        found[values] += counts
    if len(kinds) > 1:
        raise DataError(f"{folder}: its labels must all hold ids, or all colours. Received: some of both.")
    total, coloured, there = found.sum(), kinds == {3}, np.flatnonzero(found)
    kept = there
    if coloured:
        kept = there[np.argsort(-found[there], kind="stable")][: labels.OUTSIDE - 1]
        kept = kept[found[kept] >= RARE * total]
    if not kept.size:
        rule = f"its labels must hold some colour that covers at least {RARE:.2%} of the pixels"
        raise DataError(f"{folder}: {rule}. Received: {there.size} colours, all rarer.")
    known = {labels.hexadecimal(colour): name for name, colour in reversed(labels.CITYSCAPES_RAW.values())}
    keys = [f"#{value:06x}" if coloured else str(value) for value in kept]
    names = {key: known.get(key, f"colour {n}" if coloured else f"class {key}") for n, key in enumerate(keys, 1)}
    rest = total - found[kept].sum()
    print(f"{len(looked_at)} of {len(files)} labels looked at", file=sys.stderr)
    for key, value in zip(keys, kept):
        print(f"{key:>8}{found[value] / total:>10.2%}  {names[key]}", file=sys.stderr)
    if rest:
        print(f"{there.size - kept.size} more colours{rest / total:>10.2%}", file=sys.stderr)
    print(json.dumps({**names, **({"*": None} if rest else {})}, indent=1))
    if picture:
        _draw(looked_at[len(looked_at) // 2], folder, kept[: labels.OUTSIDE], list(names.values()), picture)


def _packed(pixels: np.ndarray) -> np.ndarray:
    """One number for each pixel, (h, w): its id, or 65536 red + 256 green + blue."""
    return pixels if pixels.ndim == 2 else pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


def _draw(file: Path, folder: Path, values: np.ndarray, names: Sequence[str], picture: Path) -> None:
    """A label of a folder in a colour for each class, with a legend, over its photograph if that is in `images`."""
    pixels = raw_pixels(file)
    place = np.full(1 << 24, labels.IGNORE, np.uint8)
    place[values] = np.arange(len(values))
    ids = place[_packed(pixels)]
    palette = np.zeros((256, 3), np.uint8)
    for n, value in enumerate(values):
        far_apart = colorsys.hsv_to_rgb(0.618 * n % 1, 0.9 - 0.4 * (n % 2), 0.95 - 0.35 * (n % 3 == 2))
        palette[n] = tuple(int(value).to_bytes(3, "big")) if pixels.ndim == 3 else [round(255 * x) for x in far_apart]
    drawn = Image.fromarray(ids)
    absolute = folder.absolute()
    stems = (
        absolute.parent / "images" / file.relative_to(folder),
        file.absolute().parent.parent / "images" / file.name,
    )
    beside = [stem.with_name(f"{file.stem}{tail}") for stem in stems for tail in PHOTOGRAPHS]
    photograph = next((open_image(path) for path in beside if path.exists()), None)
    base = photograph.resize(drawn.size) if photograph else Image.new("RGB", drawn.size)
    shares = np.bincount(ids.ravel(), minlength=256)[: len(values)] / ids.size
    sheet = drawing.overlay(base, drawn, palette, 0.6 if photograph else 1.0)
    with storage.replacing(picture) as part:
        drawing.with_legend(sheet, shares, names[: len(values)], palette).save(part, "PNG")
    print(f"{picture}: {file}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.datasets") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description="Check the data of a settings file.")
    parser.add_argument("file", type=option.path, nargs="?", metavar="CONFIG", help="a settings file")
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--list", choices=("source", "target", "labelled", "validation"), help="print the image names")
    text = "print a classes.json to start from, by the ids or colours of up to 50 label PNGs below a folder"
    parser.add_argument("--guess", type=option.path, metavar="FOLDER", help=text)
    parser.add_argument("--picture", type=option.path, metavar="FILE", help="with --guess: draw one of the labels, PNG")
    options = parser.parse_args(arguments)
    if (options.file is None) == (options.guess is None):
        parser.error("either CONFIG or --guess FOLDER is required")
    if options.guess and (options.set or options.list):
        parser.error("--set and --list go with CONFIG")
    if options.picture and not options.guess:
        parser.error("--picture goes with --guess")
    if options.guess:
        try:
            if options.picture:
                storage.check_file(options.picture, "--picture", DataError)
            _guess(options.guess, options.picture)
        except (DataError, OSError) as error:
            return terminal.complain(error, 1)
        return 0
    try:
        settings = config.load(options.file, options.set)
    except config.ConfigError as error:
        return terminal.complain(error, 2)

    only = None if options.list is None else {"target": "unlabelled"}.get(options.list, options.list)
    try:
        domains = open_roles(settings, None if only is None else [only])
        if only is not None:
            if not domains:
                raise DataError(f"{options.list} must be part of the settings to be listed. Received: {options.file}.")
            print(*(pair.name for domain in domains.values() for pair in domain.pairs), sep="\n")
            return 0
        with terminal.show_progress("check") as progress:
            facts = check(domains, progress)
    except DataError as error:
        return terminal.complain(error, 1)
    _describe(domains, facts, settings.class_names)
    for line in unmatched(domains, settings.class_names):
        print(f"note: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
