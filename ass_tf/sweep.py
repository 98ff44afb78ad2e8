"""Many runs by one file: methods x numbers of labels x seeds x variants, each run made once, whoever works on them.

    python -m ass_tf.sweep --config configs/carla_camvid.json [--set train.steps=100 ...] [--processes N]

Runs what is missing and goes on with the rest where a run fails; the same command, in as many processes and machines as
share the folder, takes up what is left. Each run is `python -m ass_tf.train` in a process of its own.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ass_tf import config, files, plans, process, terminal
from ass_tf.plans import Cell

TRAIN = [sys.executable, "-m", "ass_tf.train"]


class Folder:
    """Where a sweep's runs lie: a run folder for each cell, and beside them who works, what failed, what was printed.

    Args:
        path: the folder; what several processes share.
        command: the words that train a run.
    """

    def __init__(self, path: Path, command: Sequence[str] | None = None) -> None:
        self.path, self.status, self.command = path, path / "status", list(command or TRAIN)

    def run(self, cell: Cell) -> Path:
        return self.path / cell.name

    def write_list(self, cells: Sequence[Cell]) -> None:
        """sweep.json: what runs there are, for `results`; those of earlier calls stay."""
        file = self.path / "sweep.json"
        self.status.mkdir(parents=True, exist_ok=True)
        with open(self.status / "sweep.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
            found = {cell["name"]: cell for cell in known}
            for cell in cells:
                found[cell.name] = {"name": cell.name} | {
                    key: getattr(cell, key) for key in ("method", "variant", "labelled", "seed")
                }
            files.write_text(file, json.dumps(list(found.values()), indent=1) + "\n")

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """What a finished run arrived at; None of one that is not finished.

        Raises:
            ConfigError: the folder holds a run of other settings.
        """
        try:
            result = json.loads((self.run(cell) / "result.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if config.load(self.run(cell) / "config.json") != cell.settings:
            raise config.ConfigError(f"{self.run(cell)}: holds a run of other settings; name another folder by --out.")
        return result

    def is_done(self, cell: Cell) -> bool:
        return self.result(cell) is not None

    def score(self, cell: Cell) -> float | None:
        """mIoU of a finished run's last snapshot; None where there is none."""
        return ((self.result(cell) or {}).get("last") or {}).get("miou")

    def outcome(self, cell: Cell) -> str | None:
        """What became of a cell, in words; None where it is still to be run."""
        if self.is_done(cell):
            score = self.score(cell)
            return "done, without a validation" if score is None else f"mIoU {score:.2f}"
        reason = self.facts(cell).get("failed")
        return f"failed: {reason}" if reason else None

    @contextmanager
    def claimed(self, cell: Cell) -> Iterator[Any]:
        """The open lock of a cell, or None where another process has it. A run that outlives its sweep keeps it."""
        self.status.mkdir(parents=True, exist_ok=True)
        with open(self.status / f"{cell.name}.lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield lock

    def note(self, cell: Cell, **facts: Any) -> None:
        files.write_text(self.status / f"{cell.name}.json", json.dumps({**facts, "at": time.time()}) + "\n")

    def facts(self, cell: Cell) -> dict[str, Any]:
        """What was noted of a cell last: minutes, and the reason where it failed."""
        try:
            return json.loads((self.status / f"{cell.name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}

    def train(self, cell: Cell, lock: Any) -> None:
        """Runs a cell, or goes on with it, and notes what became of it.

        Raises:
            SystemExit: this process was asked to stop, and the run has saved.
        """
        start, log = time.monotonic(), self.status / f"{cell.name}.log"
        facts: dict[str, Any] = {}
        before = self.facts(cell).get("minutes", 0.0) if self.run(cell).exists() else 0.0
        command = [*self.command, "--config", str(cell.file), "--run", str(self.run(cell)), "--set", *cell.overrides]
        try:
            with open(log, "w", encoding="utf-8") as stream:
                status = process.run_to_end(
                    command,
                    stdout=stream,
                    stderr=stream,
                    pass_fds=[lock.fileno()],
                    preexec_fn=process.end_with_parent,
                )
            if not self.is_done(cell):
                facts["failed"] = _reason(status, log.read_text(encoding="utf-8", errors="replace"))
        finally:
            self.note(cell, minutes=before + (time.monotonic() - start) / 60, **facts)


def _reason(status: int, printed: str) -> str:
    """Why a run has failed: its first line of an error, else its last line."""
    if status < 0 or status >= 128:
        return f"ended by signal {status - 128 if status > 0 else -status}"
    lines = [line for line in printed.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines[-1:])[0]


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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ass_tf.sweep", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config", type=Path, required=True, metavar="FILE", help="the sweep, e.g. configs/carla_camvid.json")
    add("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all runs")
    add("--out", type=Path, metavar="DIR", help="folder of the runs (default: runs/<file>)")
    add(
        "--processes",
        type=terminal.count,
        default=1,
        metavar="N",
        help="so many runs at once, each on its share of the cores",
    )
    add("--list", action="store_true", help="show the runs and what became of them, and start none")
    options = parser.parse_args(arguments)
    return _told(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    cells = plans.cells_of(options.config, options.set)
    folder = Folder(options.out or Path("runs") / options.config.stem)
    status = 0
    if options.list:
        for cell in cells:
            print(f"{cell.name:40} {folder.outcome(cell) or 'not done'}")
    else:
        folder.write_list(cells)
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
