"""What commands show a person: progress of long work, and errors as one line."""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ass_tf.system import storage

TYPES = ("bool", "int", "float", "str")  # that end the place of a complaint about a setting of several types


@contextlib.contextmanager
def show_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while the context lasts, or where that is no terminal about ten plain lines.

    Yields:
        advance: called with the number of images done and of all.
    """
    from rich.console import Console  # here, so that a command that shows none starts sooner
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        told = 0

        def line(done: int, total: int) -> None:
            nonlocal told
            if (tenths := done * 10 // total) > told:
                told = tenths
                print(f"{name}: {done} of {total} images", file=sys.stderr, flush=True)

        yield line
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def complain(error: object, status: int) -> int:
    """Writes an error to stderr as lines that start `error:`, and returns the exit status.

    Raises:
        BrokenPipeError: that is the error: whoever read the output has gone, which `run` ends quietly.
    """
    if isinstance(error, BrokenPipeError):
        raise error
    text = storage.reason(error) if isinstance(error, OSError) and error.errno is not None else str(error)
    for line in text.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return status


def run(main: Callable[[], int]) -> int:
    """Exit status of a command; Ctrl-C ends it in one line, and a reader that wants no more (`| head`) in none."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold anything
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of oddities in photographs that do not matter here
    try:
        status = main()
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return complain("interrupted.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains of it when it ends
        return 141  # as of a process that SIGPIPE ends


def reason(error: BaseException) -> str:
    """What TensorFlow's error says, as one line: without the operation's name, and of a file the reader's own words."""
    line = (str(error).strip() or repr(error)).splitlines()[0]
    return re.sub(r".*DataError: |\{\{.*?\}\} ?| \[Op:.*", "", line)


def explain(complaints: Sequence[Mapping[str, Any]], settings: Sequence[str]) -> str:
    """The first complaint about settings as one line, with all that a setting of several types may be.

    Args:
        complaints: what `pydantic.ValidationError.errors` returns.
        settings: dotted names of all settings.
    """
    first = complaints[0]
    if first["type"] == "extra_forbidden":
        unknown = ".".join(map(str, first["loc"]))
        return f"{unknown} is no setting; the nearest is {_nearest(unknown, settings)}. Received: {_json(first)}."
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] == "json_invalid":  # of what Python made of it
        return f"the settings must be JSON that other programs can read: {first['ctx']['error']}."
    keys = [_key(complaint["loc"]) for complaint in complaints]
    key = max((k for k in keys if f"{k}.".startswith(f"{keys[0]}.")), key=lambda k: k.count("."))
    here = [complaint for k, complaint in zip(keys, complaints) if k == key]
    if here[0]["type"] == "missing":
        return f"{key} must be given."
    rules = dict.fromkeys(complaint["msg"].partition(" should ")[2] or complaint["msg"] for complaint in here)
    return f"{key or 'the content'} must {' or '.join(rules)}. Received: {_json(here[0])}."


def _key(place: Sequence[str | int]) -> str:
    """Dotted name of a place, which holds the names of types, such as `constrained-int`, beside those of keys."""
    own = place[:-1] if place and place[-1] in TYPES else place
    return ".".join(str(part) for part in own if isinstance(part, int) or part.isidentifier())


def _nearest(unknown: str, settings: Sequence[str]) -> str:
    """The setting that a wrong name may have meant: its namesake in another section, or the likest of its own."""
    section, _, name = unknown.rpartition(".")
    split = {setting: setting.rpartition(".") for setting in settings}
    namesakes = [setting for setting, (_, _, other) in split.items() if other == name]
    beside = [other for above, _, other in split.values() if above == section]
    above = f"{section}." if section else ""
    return [*namesakes, *(above + near for near in difflib.get_close_matches(name, beside, n=1, cutoff=0.0))][0]


def _json(complaint: Mapping[str, Any]) -> str:
    return storage.shown(json.dumps(complaint["input"], ensure_ascii=False))


def percent(value: float | None) -> str:
    """A score for the eye: two digits, or `-` where it is undefined."""
    return "-" if value is None else f"{value:.2f}"


def mean_of(miou: float | None, iou: Mapping[str, float | None]) -> str:
    """A mean IoU, and over which classes it is where some have no IoU: the mean, and class -> IoU."""
    absent = [name for name, value in iou.items() if value is None]
    if not absent:
        return percent(miou)
    return f"{percent(miou)} over {len(iou) - len(absent)} of {len(iou)} classes (without {some(absent)})"


def some(names: Sequence[str], most: int = 5) -> str:
    """Names in a row, the rest of a long row as a number."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
