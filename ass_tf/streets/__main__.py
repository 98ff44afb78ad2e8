"""Data sets of drawn streets, in the layouts of GTA5 (look "game") and Cityscapes (look "camera").

python -m ass_tf.streets OUT [--source 300] [--target 120] [--val 40] [--size 256x512] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys

from ass_tf.streets import writing
from ass_tf.system import option, storage, terminal


def main(arguments: list[str] | None = None, prog: str = "python -m ass_tf.streets") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description="Draw two street data sets.")
    parser.add_argument("out", type=option.path, metavar="OUT", help="folder; gta5/ and cityscapes/ are drawn in it")
    told = {
        "source": (300, option.number(0, writing.OF_SEED), "game scenes"),
        "target": (120, option.number(0, writing.OF_SPLIT), "camera scenes to train on"),
        "val": (40, option.number(0, writing.OF_SPLIT), "camera scenes to validate on"),
        "seed": (0, option.number(0), "of the scenes"),
    }
    for name, (default, kind, text) in told.items():
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{text} (default: {default})")
    parser.add_argument(
        "--size", type=option.size(32), default=(256, 512), metavar="HxW", help="pixels (default: 256x512)"
    )
    given = parser.parse_args(arguments)
    try:
        storage.check_folder(given.out, "OUT")
        writing.write_gta5(given.out / "gta5", given.source, given.seed, given.size)
        writing.write_cityscapes(
            given.out / "cityscapes", {"train": given.target, "val": given.val}, given.seed, given.size
        )
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    h, w = given.size
    print(f"{given.out}: {given.source} game and {given.target} + {given.val} camera scenes of {h}x{w}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
