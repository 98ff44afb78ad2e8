"""A data set to train on, from the files of an annotation tool.

    python -m ass_tf.annotations SOURCE --out FOLDER [--images DIR] [--validation N]

FOLDER gets copies of the photographs, label PNGs, classes.json and lists of the labelled photographs. Photographs
without annotations are copied, too: they have no label.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ass_tf import labels
from ass_tf.annotations import FORMATS, Rules, Written, check_out, read, write
from ass_tf.system import option, storage, terminal


def spellings(names: Sequence[str]) -> list[str]:
    """Notes on names that differ from another one, or from a class of Cityscapes, by their spelling only."""

    def plain(name: str) -> str:
        return re.sub(r"[\W_]", "", name.casefold()) or name

    cityscapes = {plain(name): name for name, _ in labels.CITYSCAPES_RAW.values()}
    lines, seen = [], dict[str, str]()
    for name in names:
        known, twin = cityscapes.get(plain(name), name), seen.setdefault(plain(name), name)
        if known != name:
            lines.append(f"{storage.shown(name)}: Cityscapes spells this class {known}.")
        if twin != name:
            lines.append(f"{storage.shown(name)} and {storage.shown(twin)} are two classes.")
    return lines


def _class(text: str) -> str:
    """A class's name, for argparse."""
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"must be the name of a class. Received: {storage.shown(text)}.")
    return text


def describe(written: Written, out: Path) -> None:
    """Prints what was written, and what was left out."""
    labelled, aside = len(written.labelled), len(written.validation)
    print(f"{out}: {written.photographs} photographs, {labelled + aside} with a label, {aside} of these to validate on")
    width = max(len("(ignored)"), *(len(storage.shown(name)) for name in written.names))
    total = written.pixels.sum()
    print(f"\n{'id':>3}  {'class':<{width}}{'share of pixels':>17}{'shapes':>9}")
    for n, name in enumerate(written.names):
        print(f"{n:>3}  {storage.shown(name):<{width}}{written.pixels[n] / total:>17.2%}{written.objects[name]:>9}")
    print(f"{labels.IGNORE:>3}  {'(ignored)':<{width}}{written.pixels[labels.IGNORE] / total:>17.2%}")
    for title, counts in (("painted", written.shapes), ("dropped", +written.dropped)):
        print(f"\n{title}" + (":" if counts else ": nothing"))
        for what, n in sorted(counts.items()):
            some = [storage.shown(name) for name in written.examples.get(what, [])]
            print(f"{n:>7}  {what}" + (f": {terminal.some(some, 3)}" if some else ""))
    for line in spellings(written.names):
        print(f"note: {line}")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.annotations") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("source", type=option.path, metavar="SOURCE", help="folder or file that the tool wrote")
    add("--out", type=option.path, required=True, metavar="FOLDER", help="the data set, a new folder")
    text = "folder of the photographs (default: SOURCE)"
    add("--images", type=option.path, metavar="DIR", help=text)
    add("--format", choices=FORMATS, help="default: found by what SOURCE holds")
    text = "which of two overlapping shapes lies above: the smaller (default), or the later in the file"
    add("--above", choices=("smaller", "later"), default="smaller", help=text)
    add(
        "--fill",
        type=_class,
        metavar="CLASS",
        help="class of the pixels that no shape covers (default: they are ignored)",
    )
    text = "labelled photographs to set aside, which validation.txt lists (default: 0)"
    add("--validation", type=option.number(0), default=0, metavar="N", help=text)
    options = parser.parse_args(arguments)
    rules = Rules(options.above == "smaller", options.fill, options.validation)
    try:
        check_out(options.out)
        with (
            read(options.source, options.format) as annotated,
            terminal.show_progress("labels") as advance,
        ):
            count = sum(bool(picture.shapes) for picture in annotated.pictures)
            print(f"{options.source}: {annotated.title}, {count} annotated photographs", flush=True)
            written = write(annotated, options.source, options.out, options.images, rules, advance)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    describe(written, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
