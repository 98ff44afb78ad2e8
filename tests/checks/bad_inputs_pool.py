"""Processes that run the trials of `check_inputs`, and are replaced if they die or hang."""

import collections
import multiprocessing
import multiprocessing.connection
import os
import resource
import shlex
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import bad_inputs_calls  # noqa: F401 (notes its damages, as the next three)
import bad_inputs_files  # noqa: F401
import bad_inputs_json  # noqa: F401
import bad_inputs_runs  # noqa: F401
from bad_inputs_forms import COMMANDS, FORMS
from bad_inputs_judge import errors_of, judge
from bad_inputs_trial import prepare, sound
from bad_inputs_worker import LIMIT, MEMORY, printed, run_here, run_there

TRIALS_EACH = 100  # before a worker is replaced
REAL = 50  # one trial in so many of each command also runs as a process


@dataclass
class Result:
    """What the reader is told of a trial."""

    number: int
    command: str
    words: list[str]
    told: list[str]
    certain: bool
    status: int | None = None
    failures: list[tuple[str, str]] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0

    @property
    def text(self):
        lines = [f"trial {self.number}: {self.command} {shlex.join(self.words)}"]
        lines += [f"  {told}" for told in self.told]
        lines += [f"  {kind}: {text}" for kind, text in self.failures]
        lines += [f"  status {self.status}, {'certain' if self.certain else 'possible'}, {self.seconds:.1f} s"]
        shown = [line for line in self.stderr.splitlines() if line.strip()][-6:]
        return "\n".join([*lines, *(f"  | {line[:300]}" for line in shown)])


def is_real(number):
    """Whether a trial runs as a process, too: of each command others."""
    index, command = divmod(number, len(COMMANDS))
    return index % REAL == 5 * command + 3


def attempt(trial):
    """Runs a trial in this process and judges it."""
    outcome = run_here(trial.form.command, trial.words, trial.place)
    expected = trial.expected
    result = Result(trial.number, trial.form.command, trial.words, trial.told, expected.certain, outcome.status)
    result.failures = judge(outcome, expected, trial.folder)
    result.stdout, result.stderr, result.seconds = outcome.stdout, outcome.stderr + outcome.raised, outcome.seconds
    return result, outcome


def attempt_really(trial, here):
    """Failures of the same trial as a process, and where it differs from what was `here`."""
    outcome = run_there(trial.form.command, trial.words, trial.place)
    if outcome.status is None:
        return [("hang", f"as a process: over {LIMIT} s")]
    found = [(kind, f"as a process: {text}") for kind, text in judge(outcome, trial.expected, trial.folder)]
    for what, one, other in (
        ("status", here.status, outcome.status),
        ("errors", errors_of(here), errors_of(outcome)),
    ):
        if one != other:
            found.append(("disagrees", f"{what} here: {one}; as a process: {other}"))
    return found


def serve(pipe, base, top, seed):
    """A worker: gets numbers of trials or of forms, and sends what came of them."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    while (task := pipe.recv()) is not None:
        kind, number = task
        place = top / f"{kind}{number}"
        trial = sound(base, place, FORMS[number]) if kind == "form" else prepare(base, place, seed, number)
        told = trial.told or ["sound"]
        pipe.send(Result(number, trial.form.command, trial.words, told, trial.expected.certain))
        result, outcome = attempt(trial)
        if kind == "trial" and is_real(number):
            shutil.rmtree(place)
            result.failures += attempt_really(prepare(base, place, seed, number), outcome)
        shutil.rmtree(place)
        pipe.send(result)


class Worker:
    """A process that runs trials, and what it is at."""

    def __init__(self, *given):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, *given))
        self.process.start()
        theirs.close()
        self.task = self.begun = None
        self.done, self.since, self.worked = 0, 0.0, 0.0

    def give(self, task):
        self.task, self.begun, self.since, self.worked = task, None, time.monotonic(), self.work()
        self.pipe.send(task)

    def work(self):
        """Seconds of computing so far; where they cannot be told, of the clock."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return time.monotonic()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_late(self):
        """On a machine with other work a trial may take longer than LIMIT, until it has computed for so long.

        One that runs as a process, too, gets twice as long, and the first one time to load TensorFlow.
        """
        if self.task is None:
            return False
        limit = LIMIT * (1 + (self.task[0] == "trial" and is_real(self.task[1]))) + (30 if self.done == 0 else 5)
        passed = time.monotonic() - self.since
        return passed > limit and (self.work() - self.worked > limit or passed > 5 * limit)

    def end(self, kill=False):
        if kill:
            self.process.kill()
        else:
            self.pipe.send(None)
        self.process.join()
        self.pipe.close()


def run_all(tasks, given, top, processes, tell):
    """Runs tasks in workers, replacing those that die or hang.

    Args:
        tasks: list of (kind, number).
        given: what `serve` gets beside its pipe.
        top: Path of the trials' folders.
        processes: int.
        tell: called with each Result.
    """
    left = collections.deque(tasks)
    workers = [Worker(*given) for _ in range(min(processes, len(tasks)))]
    try:
        while left or any(worker.task for worker in workers):
            for i, worker in enumerate(workers):
                if worker.task is None and left:
                    if worker.done >= TRIALS_EACH:
                        worker.end()
                        workers[i] = worker = Worker(*given)
                    worker.give(left.popleft())
            ready = multiprocessing.connection.wait([worker.pipe for worker in workers], 1)
            for i, worker in enumerate(workers):
                result = _heard(worker, worker.pipe in ready, top)
                if result is not None:
                    tell(result)
                if worker.process.exitcode is not None or (result and result.failures[:1] and result.status is None):
                    worker.end(kill=True)
                    workers[i] = Worker(*given)
    finally:
        for worker in workers:
            worker.end(kill=True)


def _heard(worker, is_ready, top):
    """The Result of a worker's task if it has ended, be it by the worker's end."""
    kind, text = "hang", f"over {LIMIT} s"
    if is_ready:
        try:
            message = worker.pipe.recv()
        except EOFError:
            worker.process.join()
            kind, text = "died", f"the process ended: {worker.process.exitcode}"
        else:
            if worker.begun is None:
                worker.begun = message
                return None
            worker.task, worker.done = None, worker.done + 1
            return message
    elif not worker.is_late():
        return None
    if worker.task is None:
        return None
    result = worker.begun or Result(worker.task[1], "?", [], ["while it was prepared"], False)
    place = top / "".join(map(str, worker.task))
    result.stdout, result.stderr = printed(place)
    result.failures, worker.task = [(kind, text)], None
    shutil.rmtree(place, ignore_errors=True)
    return result
