"""What commands show a person: progress of long work, and errors as one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def show_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while the context lasts, or where that is no terminal about ten plain lines.

    Yields:
        advance: called with the number of images done and of all.
    """
    console = Console(stderr=True)
    if not console.is_terminal:

        def line(done: int, total: int) -> None:
            if done * 10 // total > (done - 1) * 10 // total:
                print(f"{name}: {done} of {total} images", file=sys.stderr, flush=True)

        yield line
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def complain(error: object, status: int) -> int:
    """Writes an error to stderr as lines that start `error:`, and returns the exit status."""
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)
    return status
