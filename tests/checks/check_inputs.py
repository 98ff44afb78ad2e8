"""A thousand bad inputs, drawn by a seed, against eight commands: no traceback, the right exit status, nothing lost.

    python tests/checks/check_inputs.py [--count 1000] [--seed 0] [--only COMMAND] [--processes 2]
    python tests/checks/check_inputs.py --trial N [--seed 0]       one of them again, with all that it printed

A sound folder is made first, and every form of every command must succeed on it. Each trial damages a fresh copy; most
run in one of a few processes that have TensorFlow loaded, one in fifty of each command also as a process of its own,
which must say the same. `--base DIR` keeps the sound folder for the next time. The exit status is 0 if nothing failed.
"""

import argparse
import collections
import shlex
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from bad_inputs_forms import COMMANDS, FORMS
from bad_inputs_judge import KINDS
from bad_inputs_pool import attempt, run_all
from bad_inputs_trial import prepare


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
