"""Working through a sweep's runs, in one process or in several."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ass_tf import config
from ass_tf.studies.cells import Folder
from ass_tf.studies.plan import Cell
from ass_tf.system import process, terminal


def work_all(folder: Folder, cells: Sequence[Cell], processes: int) -> int:
    """Takes one cell after the other until each is done or has failed.

    Args:
        folder: where the runs lie.
        cells: the runs; those that have failed before are tried again.
        processes: how many work at once, each on its share of the cores where the system can.

    Returns:
        status: exit status; 0 where all runs are done.

    Raises:
        SystemExit: this process was asked to stop.
    """
    known = {cell.name: folder.facts(cell) for cell in cells}
    if processes == 1:
        return _work(folder, cells, known, processes)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    context = multiprocessing.get_context("spawn")
    shares = [cores[i % len(cores) :: processes] if cores else [] for i in range(processes)]
    workers = [context.Process(target=_work_on, args=(folder, cells, known, processes, share)) for share in shares]
    for worker in workers:
        worker.start()

    def wait() -> int:
        for worker in workers:
            worker.join()
        codes = [worker.exitcode for worker in workers if worker.exitcode]
        return (codes[0] if codes[0] > 0 else 128 - codes[0]) if codes else 0

    def stop(_: int) -> None:
        for worker in workers:
            worker.terminate()

    return process.wait_patiently(wait, stop)


def _work_on(
    folder: Folder, cells: Sequence[Cell], known: Mapping[str, Any], processes: int, cores: Sequence[int]
) -> None:
    """`_work` as one of several processes."""
    process.end_with_parent()
    if cores:
        os.sched_setaffinity(0, cores)
    sys.exit(terminal.run(lambda: told(lambda: _work(folder, cells, known, processes))))


def _work(folder: Folder, cells: Sequence[Cell], known: Mapping[str, Any], processes: int) -> int:
    """What one process does; `known` is what was noted of each cell when the command began."""
    waiting = False

    def failed(cell: Cell) -> bool:
        """Since the command began, here or elsewhere."""
        facts = folder.facts(cell)
        return "failed" in facts and facts != known.get(cell.name)

    while waited_for := [cell for cell in cells if not folder.is_done(cell) and not failed(cell)]:
        for cell in waited_for:
            with folder.claimed(cell) as lock:
                if lock is None or folder.is_done(cell) or failed(cell):
                    continue
                waiting = False
                print(f"{cell.name}: {left(folder, cells, processes)}", flush=True)
                folder.train(cell, lock)
            print(f"{cell.name}: {folder.outcome(cell)}", flush=True)
            break
        else:
            if not waiting:
                count = len(waited_for)
                print(f"the last {count} runs are in other processes' hands; waiting for them", flush=True)
            waiting = True
            time.sleep(1)
    return 0 if all(map(folder.is_done, cells)) else 1


def left(folder: Folder, cells: Sequence[Cell], processes: int) -> str:
    """How many runs are left, and about how long they take, by what those of the same method mostly took."""
    minutes: dict[str, list[float]] = {}
    undone = []
    for cell in cells:
        if not folder.is_done(cell):
            undone.append(cell)
        elif "minutes" in (facts := folder.facts(cell)):
            minutes.setdefault(cell.method, []).append(facts["minutes"])
    count = f"{len(cells) - len(undone)} of {len(cells)} done"
    if not minutes:
        return count
    overall = statistics.median(itertools.chain(*minutes.values()))  # one that was held up says little of the rest
    total = sum(statistics.median(minutes.get(cell.method, [overall])) for cell in undone)
    share = f", {_hours(total / processes)} h in {processes} processes" if processes > 1 else ""
    return f"{count}, about {_hours(total)} h of computing left{share}"


def _hours(minutes: float) -> str:
    return f"{int(minutes) // 60}:{int(minutes) % 60:02}"


def told(action: Callable[[], int]) -> int:
    """The exit status of an action; bad input and a failing disk get one line."""
    try:
        return action()
    except config.ConfigError as error:
        return terminal.complain(error, 2)
    except OSError as error:
        return terminal.complain(error, 1)
