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
from collections.abc import Callable, Iterator, Sequence
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
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        found = {cell["name"]: cell for cell in known}
        for cell in cells:
            found[cell.name] = {"name": cell.name} | {
                key: getattr(cell, key) for key in ("method", "variant", "labelled", "seed")
            }
        files.write_text(file, json.dumps(list(found.values()), indent=1) + "\n")

    def score(self, cell: Cell) -> float | None:
        """mIoU of the last snapshot of a run that is finished; None where it is not.

        Raises:
            ConfigError: the folder holds a run of other settings.
        """
        try:
            result = json.loads((self.run(cell) / "result.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if config.load(self.run(cell) / "config.json") != cell.settings:
            raise config.ConfigError(f"{self.run(cell)}: holds a run of other settings; name another folder by --out.")
        return (result["last"] or {}).get("miou") or 0.0

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

    def train(self, cell: Cell, lock: Any) -> int:
        """Runs a cell, or goes on with it; returns the exit status."""
        start, log = time.monotonic(), self.status / f"{cell.name}.log"
        before = self.facts(cell).get("minutes", 0.0) if self.run(cell).exists() else 0.0
        command = [*self.command, "--config", str(cell.file), "--run", str(self.run(cell)), "--set", *cell.overrides]
        with open(log, "w", encoding="utf-8") as stream:
            status = process.run_to_end(
                command,
                stdout=stream,
                stderr=stream,
                pass_fds=[lock.fileno()],
                preexec_fn=process.end_with_parent,
            )
        facts = {"minutes": before + (time.monotonic() - start) / 60}
        if status < 0:
            facts["failed"] = f"killed by signal {-status}"
        elif status < 128 and self.score(cell) is None:  # from 128 on, it was asked to stop, and has saved
            lines = [x for x in log.read_text(encoding="utf-8", errors="replace").splitlines() if x.strip()]
            facts["failed"] = (lines or ["it printed nothing"])[-1].removeprefix("error: ")
        self.note(cell, **facts)
        return status


def work(folder: Folder, cells: Sequence[Cell]) -> int:
    """Takes one cell after the other until each is done or has failed; returns the exit status."""
    begun, waiting = time.time(), False

    def failed(cell: Cell) -> bool:
        """In this session, here or elsewhere; what failed before is tried again."""
        facts = folder.facts(cell)
        return "failed" in facts and facts["at"] >= begun

    while left := [cell for cell in cells if folder.score(cell) is None and not failed(cell)]:
        for cell in left:
            with folder.claimed(cell) as lock:
                if lock is None or folder.score(cell) is not None or failed(cell):
                    continue
                waiting = False
                print(f"{cell.name}: {_left(folder, cells)}", flush=True)
                status = folder.train(cell, lock)
            score, reason = folder.score(cell), folder.facts(cell).get("failed")
            if score is not None or reason:
                print(f"{cell.name}: " + (f"failed: {reason}" if score is None else f"mIoU {score:.2f}"), flush=True)
            if status >= 128:
                return status  # it was asked to stop
            break
        else:
            if not waiting:
                print(f"the last {len(left)} runs are in other processes' hands; waiting for them", flush=True)
            waiting = True
            time.sleep(1)
    return 1 if any(folder.score(cell) is None for cell in cells) else 0


def divide(folder: Folder, cells: Sequence[Cell], count: int) -> int:
    """`work` in several processes, each on its share of the cores where the system can; returns the exit status."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    context = multiprocessing.get_context("spawn")
    shares = [cores[i % len(cores) :: count] if cores else [] for i in range(count)]
    workers = [context.Process(target=_work_on, args=(folder, cells, share)) for share in shares]
    for worker in workers:
        worker.start()

    def wait() -> int:
        for worker in workers:
            worker.join()
        codes = [worker.exitcode for worker in workers if worker.exitcode]
        return (codes[0] if codes[0] > 0 else 128 - codes[0]) if codes else 0

    return process.wait_patiently(wait, lambda _: [worker.terminate() for worker in workers])


def _work_on(folder: Folder, cells: Sequence[Cell], cores: Sequence[int]) -> None:
    process.end_with_parent()
    if cores:
        os.sched_setaffinity(0, cores)
    sys.exit(terminal.run(lambda: _told(lambda: work(folder, cells))))


def _left(folder: Folder, cells: Sequence[Cell]) -> str:
    """How many runs are left, and about how long they take, by what those of the same method took."""
    minutes: dict[str, list[float]] = {}
    left = []
    for cell in cells:
        if folder.score(cell) is None:
            left.append(cell)
        elif "minutes" in (facts := folder.facts(cell)):
            minutes.setdefault(cell.method, []).append(facts["minutes"])
    count = f"{len(cells) - len(left)} of {len(cells)} done"
    if not minutes:
        return count
    overall = statistics.mean(itertools.chain(*minutes.values()))
    total = sum(statistics.mean(minutes.get(cell.method, [overall])) for cell in left)
    return f"{count}, about {int(total) // 60}:{int(total) % 60:02} h of computing left"


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


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more. Received: {text}.")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ass_tf.sweep", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config", type=Path, required=True, metavar="FILE", help="the sweep, e.g. configs/carla_camvid.json")
    add("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all runs")
    add("--out", type=Path, metavar="DIR", help="folder of the runs (default: runs/<file>)")
    add("--processes", type=_count, default=1, metavar="N", help="so many runs at once, each on its share of the cores")
    add("--list", action="store_true", help="show the runs and what became of them, and start none")
    options = parser.parse_args(arguments)
    return _told(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    cells = plans.cells_of(options.config, options.set)
    folder = Folder(options.out or Path("runs") / options.config.stem)
    status = 0
    if options.list:
        for cell in cells:
            score, facts = folder.score(cell), folder.facts(cell)
            open_ = f"failed: {facts['failed']}" if "failed" in facts else "not done"
            print(f"{cell.name:40} " + (open_ if score is None else f"mIoU {score:.2f}"))
    else:
        folder.write_list(cells)
        print(_left(folder, cells), flush=True)
        status = work(folder, cells) if options.processes == 1 else divide(folder, cells, options.processes)
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
