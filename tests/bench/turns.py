"""Processes that do a piece of work in turn, so that a busy neighbour slows all of them down alike."""

import json
import os
import statistics
import subprocess
import sys
import time


class Worker:
    """A process of its own that has prepared one piece of work and does it when asked.

    Args:
        command: words; the process calls `serve`.
        variables: dict, further environment variables.
    """

    def __init__(self, command, variables=None):
        start = time.perf_counter()
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(variables or {})}
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.start, self.facts, self.first = start, None, None

    def prepare(self):
        """Waits until the process is ready; `first` is then the seconds since its command. Returns the worker."""
        self.facts = self._read()
        self.first = time.perf_counter() - self.start
        return self

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.process.args)}:\n{self.process.stderr.read()}")
        return json.loads(line)

    def work(self):
        """Seconds of one turn."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._read()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def serve(work, **facts):
    """In the worker's process: says that it is ready, with these facts, and then does `work()` once a line."""
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(facts), file=answers, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        work()
        print(json.dumps(time.perf_counter() - start), file=answers, flush=True)


def take_turns(workers, rounds, warm_up=1):
    """Medians and all times of each worker: dict of name -> Worker -> dict of name -> (seconds, list of seconds)."""
    times = {name: [] for name in workers}
    for turn in range(warm_up + rounds):
        for name, worker in workers.items():
            seconds = worker.work()
            if turn >= warm_up:
                times[name].append(seconds)
    for worker in workers.values():
        worker.end()
    return {name: (statistics.median(values), values) for name, values in times.items()}
