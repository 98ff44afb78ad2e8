"""Several processes that share out photographs, each with a session of its own.

A worker gets the words of the command line and then photographs, a line of JSON each, on its stdin; on its stdout it
answers with the row of each. The parent alone writes the table. It hands a worker a few photographs at a time, so a
slow worker gets fewer, and no list grows.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from street_inference import flow, segmenter, summary

Job = tuple[int, str, str]  # number, path, name of the results
ENTRY = "import sys; sys.path.insert(0, sys.argv[1]); from street_inference import command; sys.exit(command.work())"


class Crew:
    """The workers of a call.

    Args:
        count: how many.
        words: of the command line that each takes for its own.
        options: what is done with each photograph.
        finish: called with the number and the row of each photograph.
        columns: of a row, as of `summary.row_of`.
    """

    def __init__(
        self,
        count: int,
        words: Sequence[str],
        options: flow.Options,
        finish: Callable[[int, summary.Row], None],
        columns: int,
    ) -> None:
        self.count, self.words, self.finish, self.columns = count, words, finish, columns
        self.ahead = 4 * (flow.WORKERS + options.batch) + 8  # that a worker has; more than it can hold unanswered
        self.lock = threading.Lock()
        self.children: list[subprocess.Popen[str]] = []
        self.dropped: list[Job] = []  # by workers that have ended
        self.status = 0  # of the last of those
        self.failed = 0  # workers of this round that have ended with another status than 0
        self.done = 0
        self.stopping = False
        self.error: Exception | None = None  # of `finish`, or of a worker that cannot write

    def segment(self, photographs: Iterable[Job]) -> None:
        """Has them all done; those that a worker had when it was killed go to new ones.

        Raises:
            ModelError: the workers end before they have done anything.
            OSError: a result cannot be written.
        """
        waiting, before = iter(photographs), 0
        self._share_out(waiting, self.count)
        while self.dropped:
            if not self.done and self.failed == self.count:
                raise segmenter.ModelError(f"--workers: they end at once, with status {self.status}.")
            left, self.dropped = self.dropped, []
            if self.done > before:
                before = self.done
                self._share_out(itertools.chain(left, waiting), self.count)
                continue
            for job in left:  # one of them is what the workers end by
                self._share_out(iter([job]), 1)
                if self.dropped:
                    self._fail(*self.dropped.pop())
            self._share_out(waiting, self.count)

    def _fail(self, number: int, path: str, name: str) -> None:
        error = f"the worker that takes it ends, with status {self.status}."
        lost = flow.Photograph(Path(path), name, number, error=error)
        self.finish(number, summary.row_of(lost, self.columns))

    def _share_out(self, waiting: Iterator[Job], count: int) -> None:
        self.children, self.failed = [], 0
        feeders = concurrent.futures.ThreadPoolExecutor(count)
        jobs: list[concurrent.futures.Future[None]] = []
        try:
            for place in range(count):
                self.children.append(self._start(place))
            jobs += (feeders.submit(self._feed, child, waiting) for child in self.children)
            concurrent.futures.wait(jobs)  # not Thread.join: where that is interrupted, a second one does not wait
        except KeyboardInterrupt:  # what they have segmented is still written, and answered
            self.stopping = True
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            for child in self.children:
                child.terminate()
            raise
        finally:
            feeders.shutdown()
        for job in jobs:
            job.result()
        if self.error:
            raise self.error

    def _start(self, place: int) -> subprocess.Popen[str]:
        home = Path(__file__).parents[1]
        child = subprocess.Popen(
            [sys.executable, "-c", ENTRY, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **_device(place)},
            start_new_session=True,  # Ctrl-C comes by the parent
        )
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps([place, self.count, *self.words]), file=child.stdin, flush=True)
        return child

    def _feed(self, child: subprocess.Popen[str], waiting: Iterator[Job]) -> None:
        """Keeps one worker supplied until nothing is left or it ends."""
        held: dict[int, Job] = {}
        given: Any = child.stdin
        answers: Any = child.stdout
        more = True
        while more or held:
            try:
                while more and len(held) < self.ahead:
                    with self.lock:
                        job = None if self.stopping else next(waiting, None)
                    if job is None:
                        more = False
                        given.close()  # it ends when it has answered all
                    else:
                        held[job[0]] = job
                        given.write(json.dumps(job) + "\n")
                        given.flush()
            except BrokenPipeError:
                more = False
            if not (line := answers.readline()):
                break
            number, row = json.loads(line)
            with self.lock:
                try:
                    if number is None:
                        raise OSError(*row)
                    del held[number]
                    self.finish(number, row)
                    self.done += 1
                except Exception as error:  # a full disk; raised again where the crew was called
                    self.error, self.stopping, more = self.error or error, True, False
        with contextlib.suppress(BrokenPipeError):
            given.close()
        answers.close()
        status = child.wait()
        with self.lock:
            self.dropped += held.values()
            self.failed += status != 0
            if held:
                self.status = status


def _device(place: int) -> dict[str, str]:
    """Of several GPUs in CUDA_VISIBLE_DEVICES a worker sees one."""
    devices = [device for device in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if device]
    return {"CUDA_VISIBLE_DEVICES": devices[place % len(devices)]} if len(devices) > 1 else {}


def share_cores(place: int, count: int) -> int:
    """Keeps this process to its share of the cores, where the system can; returns how many these are."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if cores:
        os.sched_setaffinity(0, cores[place % len(cores) :: count])
        flow.WORKERS = flow.cores()
    return max(1, flow.cores() if cores else flow.cores() // count)


def photographs_from(stream: Iterable[str]) -> Iterator[flow.Photograph]:
    """A worker's photographs, as they come, until it is asked to stop; those before are still done and answered."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    for line in stream:
        if stopping.is_set():
            return
        number, path, name = json.loads(line)
        yield flow.Photograph(Path(path), name, number)


@contextlib.contextmanager
def telling(stream: Any) -> Iterator[None]:
    """Has a worker's parent end the call, and tell why, where the worker cannot write a result."""
    try:
        yield
    except BrokenPipeError:  # the parent has gone
        raise
    except OSError as error:
        print(json.dumps([None, [error.errno, error.strerror or str(error), error.filename]]), file=stream, flush=True)


def answer(stream: Any, photograph: flow.Photograph, columns: int) -> None:
    """A worker's word that one is done or skipped."""
    print(json.dumps([photograph.number, summary.row_of(photograph, columns)]), file=stream, flush=True)
