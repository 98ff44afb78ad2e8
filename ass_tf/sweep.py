"""Many runs by one file: methods x numbers of labels x seeds x variants, each run made once, whoever works on them.

    python -m ass_tf.sweep --config configs/carla_camvid.json [--set train.steps=100 ...] [--processes N]

Runs what is missing and goes on with the rest where a run fails; the same command, in as many processes and machines as
share the folder, takes up what is left. Each run is `python -m ass_tf.train` in a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from ass_tf import config
from ass_tf.studies import work
from ass_tf.studies.cells import Folder
from ass_tf.studies.plan import Cell, cells_of
from ass_tf.system import locks, option, storage, terminal


def table(folder: Folder, cells: Sequence[Cell]) -> str:
    """Mean mIoU over seeds, by method and number of labels; with the number of seeds where some are missing."""
    counts = list(dict.fromkeys(cell.labelled for cell in cells))
    lines = list(dict.fromkeys((cell.method, cell.variant) for cell in cells))
    width = max(len(" ".join(filter(None, line))) for line in lines)
    rows = [" " * width + "".join(f"{count!s:>12}" for count in counts)]
    for line in lines:
        row = " ".join(filter(None, line)).ljust(width)
        for count in counts:
            here = [c for c in cells if (c.method, c.variant) == line and c.labelled == count]
            scores = [score for score in map(folder.score, here) if score is not None]
            text = f"{statistics.mean(scores):.2f}" if scores else "-"
            text += f" ({len(scores)}/{len(here)})" if 0 < len(scores) < len(here) else ""
            row += f"{text:>12}"
        rows.append(row)
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.sweep") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config", type=option.path, required=True, metavar="FILE", help="the sweep, e.g. carla_camvid.json")
    add("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all runs")
    add("--out", type=option.path, metavar="DIR", help="folder of the runs (default: runs/<file>)")
    text = "so many runs at once, each on its share of the cores and of the GPUs"
    add("--processes", type=option.number(most=256), default=1, metavar="N", help=text)
    text = "take no run that cannot end within so many hours; exit status 75 where runs are left for that"
    add("--max-hours", type=option.hours, metavar="H", help=text)
    add("--list", action="store_true", help="show the runs and what became of them, and start none")
    options = parser.parse_args(arguments)
    return work.told(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    cells = cells_of(config.find(options.config), options.set)
    folder = Folder(Path("runs") / options.config.stem if options.out is None else options.out)
    storage.check_folder(folder.path, "--out", config.ConfigError)
    status = 0
    if options.list:
        for cell in cells:
            print(f"{cell.name:40} {folder.outcome(cell) or 'not done'}")
    else:
        folder.write_list(cells)
        if doubt := locks.weakness(folder.path):
            print(f"note: {doubt}.", flush=True)
        print(work.left(folder, cells, options.processes), flush=True)
        status = work.work_all(folder, cells, options.processes, options.max_hours)
    print(f"\nmIoU of the last snapshot, mean over seeds, by number of labelled images\n{table(folder, cells)}")
    return status


if __name__ == "__main__":
    sys.exit(terminal.run(main))
