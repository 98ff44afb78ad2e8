"""Many runs by one file: methods x numbers of labels x seeds x variants, each run made once, whoever works on them.

    python -m ass_tf.sweep --config configs/carla_camvid.json [--set train.steps=100 ...] [--processes N]

Runs what is missing and goes on with the rest where a run fails; the same command, in as many processes and machines as
share the folder, takes up what is left. Each run is `python -m ass_tf.train` in a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ass_tf import config
from ass_tf.studies import plan as plans
from ass_tf.studies.cells import Folder
from ass_tf.studies.plan import Cell
from ass_tf.system import locks, process, storage, terminal


def work(folder: Folder, cells: Sequence[Cell], known: Mapping[str, Any], processes: int = 1) -> int:
    """Takes one cell after the other until each is done or has failed; returns the exit status.

    Args:
        folder: where the runs lie.
        cells: the runs.
        known: what was noted of each when the command began; what had failed by then is tried again.
        processes: how many do this at once, this one included, for the time that is left.

    Raises:
        SystemExit: this process was asked to stop.
    """
    waiting = False

    def failed(cell: Cell) -> bool:
        """Since the command began, here or elsewhere."""
        facts = folder.facts(cell)
        return "failed" in facts and facts != known.get(cell.name)

    while left := [cell for cell in cells if not folder.is_done(cell) and not failed(cell)]:
        for cell in left:
            with folder.claimed(cell) as lock:
                if lock is None or folder.is_done(cell) or failed(cell):
                    continue
                waiting = False
                print(f"{cell.name}: {_left(folder, cells, processes)}", flush=True)
                folder.train(cell, lock)
            print(f"{cell.name}: {folder.outcome(cell)}", flush=True)
            break
        else:
            if not waiting:
                print(f"the last {len(left)} runs are in other processes' hands; waiting for them", flush=True)
            waiting = True
            time.sleep(1)
    return 0 if all(map(folder.is_done, cells)) else 1


def divide(folder: Folder, cells: Sequence[Cell], known: Mapping[str, Any], count: int) -> int:
    """`work` in several processes, each on its share of the cores where the system can."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    context = multiprocessing.get_context("spawn")
    shares = [cores[i % len(cores) :: count] if cores else [] for i in range(count)]
    workers = [context.Process(target=_work_on, args=(folder, cells, known, count, share)) for share in shares]
    for worker in workers:
        worker.start()

    def wait() -> int:
        for worker in workers:
            worker.join()
        codes = [worker.exitcode for worker in workers if worker.exitcode]
        return (codes[0] if codes[0] > 0 else 128 - codes[0]) if codes else 0

    return process.wait_patiently(wait, lambda _: [worker.terminate() for worker in workers])


def _work_on(folder: Folder, cells: Sequence[Cell], known: Mapping[str, Any], count: int, cores: Sequence[int]) -> None:
    process.end_with_parent()
    if cores:
        os.sched_setaffinity(0, cores)
    sys.exit(terminal.run(lambda: _told(lambda: work(folder, cells, known, count))))


def _left(folder: Folder, cells: Sequence[Cell], processes: int) -> str:
    """How many runs are left, and about how long they take, by what those of the same method mostly took."""
    minutes: dict[str, list[float]] = {}
    left = []
    for cell in cells:
        if not folder.is_done(cell):
            left.append(cell)
        elif "minutes" in (facts := folder.facts(cell)):
            minutes.setdefault(cell.method, []).append(facts["minutes"])
    count = f"{len(cells) - len(left)} of {len(cells)} done"
    if not minutes:
        return count
    overall = statistics.median(itertools.chain(*minutes.values()))  # one that was held up says little of the rest
    total = sum(statistics.median(minutes.get(cell.method, [overall])) for cell in left)
    share = f", {_hours(total / processes)} h in {processes} processes" if processes > 1 else ""
    return f"{count}, about {_hours(total)} h of computing left{share}"


def _hours(minutes: float) -> str:
    return f"{int(minutes) // 60}:{int(minutes) % 60:02}"


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


def _processes(text: str) -> int:
    if (number := terminal.count(text)) > 256:
        raise argparse.ArgumentTypeError(f"must be at most 256. Received: {text}.")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ass_tf.sweep", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config", type=terminal.path, required=True, metavar="FILE", help="the sweep, e.g. configs/carla_camvid.json")
    add("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all runs")
    add("--out", type=terminal.path, metavar="DIR", help="folder of the runs (default: runs/<file>)")
    add(
        "--processes",
        type=_processes,
        default=1,
        metavar="N",
        help="so many runs at once, each on its share of the cores",
    )
    add("--list", action="store_true", help="show the runs and what became of them, and start none")
    options = parser.parse_args(arguments)
    return _told(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    cells = plans.cells_of(options.config, options.set)
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
        print(_left(folder, cells, options.processes), flush=True)
        given = folder, cells, {cell.name: folder.facts(cell) for cell in cells}
        status = work(*given) if options.processes == 1 else divide(*given, options.processes)
    print(f"\nmIoU of the last snapshot, mean over seeds, by number of labelled images\n{table(folder, cells)}")
    return status


def _told(action: Callable[[], int]) -> int:
    """Exit status; bad input and a failing disk get one line."""
    try:
        return action()
    except config.ConfigError as error:
        return terminal.complain(error, 2)
    except OSError as error:
        return terminal.complain(error, 1)


if __name__ == "__main__":
    sys.exit(terminal.run(main))
