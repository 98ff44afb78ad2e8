"""Working through a sweep's runs, in one process or in several."""

from __future__ import annotations

import itertools
import math
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
from ass_tf.system import machine, process, terminal


def work_all(folder: Folder, cells: Sequence[Cell], processes: int, hours: float | None = None) -> int:
    """Takes one cell after the other until each is done or has failed.

    Args:
        folder: where the runs lie.
        cells: the runs; those that have failed before are tried again.
        processes: how many work at once, each on its share of the GPUs and, where the system can, of the cores.
        hours: that there are; a run that cannot end in them, by what others of its method took, is left.

    Returns:
        status: exit status; 0 where all runs are done, 75 where some are left for lack of time.

    Raises:
        SystemExit: this process was asked to stop.
    """
    known = {cell.name: folder.facts(cell) for cell in cells}
    end = math.inf if hours is None else time.time() + 3600 * hours
    if processes == 1:
        return _work(folder, cells, known, processes, end)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    context = multiprocessing.get_context("spawn")
    shares = [cores[i % len(cores) :: processes] if cores else [] for i in range(processes)]
    gpus = machine.gpus()
    devices = [gpus[i % len(gpus) :: processes] if gpus else [] for i in range(processes)]
    given = folder, cells, known, processes, end
    workers = [context.Process(target=_work_on, args=(*given, *both)) for both in zip(shares, devices)]
    for worker in workers:
        worker.start()

    def wait() -> int:
        for worker in workers:
            worker.join()
        codes = [worker.exitcode for worker in workers if worker.exitcode]
        worst = next((code for code in codes if code != os.EX_TEMPFAIL), os.EX_TEMPFAIL) if codes else 0
        if worst == os.EX_TEMPFAIL and all(map(folder.is_done, cells)):  # what one left, another had in hand
            return 0
        return worst if worst >= 0 else 128 - worst

    def stop(_: int) -> None:
        for worker in workers:
            worker.terminate()

    return process.wait_patiently(wait, stop)


def _work_on(
    folder: Folder,
    cells: Sequence[Cell],
    known: Mapping[str, Any],
    processes: int,
    end: float,
    cores: Sequence[int],
    gpus: Sequence[str],
) -> None:
    """`_work` as one of several processes."""
    process.end_with_parent()
    if cores:
        os.sched_setaffinity(0, cores)
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    sys.exit(terminal.run(lambda: told(lambda: _work(folder, cells, known, processes, end))))


def _work(folder: Folder, cells: Sequence[Cell], known: Mapping[str, Any], processes: int, end: float) -> int:
    """What one process does; `known` is what was noted of each cell when the command began."""
    waiting = False
    late: set[str] = set()  # names of cells for which the time is too short

    def failed(cell: Cell) -> bool:
        """Since the command began, here or elsewhere."""
        facts = folder.facts(cell)
        return "failed" in facts and facts != known.get(cell.name)

    while waited_for := [c for c in cells if not folder.is_done(c) and not failed(c) and c.name not in late]:
        for cell in waited_for:
            if end < math.inf and time.time() + 60 * (minutes := _expected(folder, cells, cell)) > end:
                late.add(cell.name)
                print(f"{cell.name}: takes about {_hours(minutes)} h, more than there are; left", flush=True)
                break
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
            if time.time() > end:
                break
    undone = [cell for cell in cells if not folder.is_done(cell)]
    if not undone:
        return 0
    return 1 if any(map(failed, undone)) else os.EX_TEMPFAIL


def _expected(folder: Folder, cells: Sequence[Cell], cell: Cell) -> float:
    """Minutes that a run will mostly take, by those that are done, less what has been spent on it; 0: unknown."""
    taken = _minutes(folder, cells)
    if not taken:
        return 0.0
    spent = folder.facts(cell).get("minutes", 0.0) if folder.run(cell).snapshots() else 0.0
    return max(0.0, _typical(taken, cell) - spent)


def _minutes(folder: Folder, cells: Sequence[Cell]) -> dict[str, list[float]]:
    """Method -> minutes that its finished runs took."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        if folder.is_done(cell) and "minutes" in (facts := folder.facts(cell)):
            found.setdefault(cell.method, []).append(facts["minutes"])
    return found


def _typical(minutes: Mapping[str, Sequence[float]], cell: Cell) -> float:
    overall = statistics.median(itertools.chain(*minutes.values()))  # one that was held up says little of the rest
    return statistics.median(minutes.get(cell.method, [overall]))


def left(folder: Folder, cells: Sequence[Cell], processes: int) -> str:
    """How many runs are left, and about how long they take, by what those of the same method mostly took."""
    undone, minutes = [cell for cell in cells if not folder.is_done(cell)], _minutes(folder, cells)
    count = f"{len(cells) - len(undone)} of {len(cells)} done"
    if not minutes:
        return count
    total = sum(_typical(minutes, cell) for cell in undone)
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
