"""A thousand bad inputs, drawn by a seed, against eight commands: no traceback, the right exit status, nothing lost.

    python tests/check_inputs.py [--count 1000] [--seed 0] [--only COMMAND] [--processes 2]
    python tests/check_inputs.py --trial N [--seed 0]       one of them again, with all that it printed

A sound folder is made first, and every form of every command must succeed on it. Each trial damages a fresh copy; most
run in one of a few processes that have TensorFlow loaded, one in fifty of each command also as a process of its own,
which must say the same. `--base DIR` keeps the sound folder for the next time. The exit status is 0 if nothing failed.
"""

import argparse
import collections
import multiprocessing
import multiprocessing.connection
import os
import resource
import shlex
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import bad_inputs_calls  # noqa: F401 (notes its damages, as the next three)
import bad_inputs_files  # noqa: F401
import bad_inputs_json  # noqa: F401
import bad_inputs_runs  # noqa: F401
from bad_inputs_forms import COMMANDS, FORMS
from bad_inputs_judge import KINDS, errors_of, judge
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
        self.done, self.since = 0, 0.0

    def give(self, task):
        self.task, self.begun, self.since = task, None, time.monotonic()
        self.pipe.send(task)

    def is_late(self):
        """Twice as long for one that runs as a process, too, and time to load TensorFlow."""
        both = self.task is not None and self.task[0] == "trial" and is_real(self.task[1])
        limit = LIMIT * (2 if both else 1) + (30 if self.done == 0 else 5)
        return self.task is not None and time.monotonic() - self.since > limit

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


def table(results):
    """Counts by command."""
    head = ["command", "trials", "refused", "harmless", *KINDS]
    rows = [head]
    for command in COMMANDS:
        mine = [result for result in results if result.command == command]
        sound_ones = [result for result in mine if not result.failures]
        refused = sum(result.status != 0 for result in sound_ones)
        kinds = collections.Counter(kind for result in mine for kind in {kind for kind, _ in result.failures})
        rows.append([command, len(mine), refused, len(sound_ones) - refused, *(kinds[kind] for kind in KINDS)])
    rows.append(["all", *(sum(row[i] for row in rows[1:]) for i in range(1, len(head)))])
    return "\n".join("".join(f"{cell!s:<11}" if i == 0 else f"{cell!s:>10}" for i, cell in enumerate(r)) for r in rows)


def make_base(place, processes, top):
    """The sound folder, made if it is not there yet; raises RuntimeError if a command fails on it."""
    base = place / "work"
    if (place / "sound").exists():
        return base
    import bad_inputs_base

    bad_inputs_base.make(place, lambda line: print(line, flush=True))
    failed = []

    def tell(result):
        print(f"sound: {result.command} {shlex.join(result.words)}: {result.seconds:.1f} s", flush=True)
        if result.failures or result.status:
            failed.append(result.text)

    run_all([("form", i) for i in range(len(FORMS))], (base, top, 0), top, processes, tell)
    if failed:
        raise RuntimeError("\n".join(failed))
    (place / "sound").touch()
    return base


def numbers_of(count, only):
    """Numbers of the trials: every command has every eighth."""
    step = len(COMMANDS)
    return range(COMMANDS.index(only), count * step, step) if only else range(count)


def show(base, top, seed, number):
    """One trial, with all that it prints."""
    result, _ = attempt(prepare(base, top / "trial", seed, number))
    print(f"{result.text}\nstdout:\n{result.stdout}\nstderr:\n{result.stderr}")
    return 1 if result.failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="trials, with --only of that command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=COMMANDS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--trial", type=int, metavar="N", help="run this one again, and show what it prints")
    parser.add_argument("--base", type=Path, metavar="DIR", help="keep the sound folder there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inputs-") as folder:
        top = Path(folder) / "trials"
        top.mkdir()
        place = (options.base or Path(folder) / "base").resolve()
        try:
            base = make_base(place, options.processes, top)
        except RuntimeError as error:
            print(f"error: a command fails on sound input, so nothing can be said of bad ones.\n{error}")
            return 1
        if options.trial is not None:
            return show(base, top, options.seed, options.trial)
        results, begin = [], time.monotonic()

        def tell(result):
            results.append(result)
            if result.failures:
                print(result.text, flush=True)
            if len(results) % 100 == 0:
                print(f"{len(results)} trials, {time.monotonic() - begin:.0f} s", flush=True)

        tasks = [("trial", number) for number in numbers_of(options.count, options.only)]
        run_all(tasks, (base, top, options.seed), top, options.processes, tell)
        failed = sum(bool(result.failures) for result in results)
        print(f"\n{table(results)}\n\n{failed} of {len(results)} failed, {time.monotonic() - begin:.0f} s")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
