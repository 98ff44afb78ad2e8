"""How far a call is, on stderr: a bar where that is a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time


class _Bar:
    """What photographs and frames have in common.

    Args:
        total: how many there are; of frames 0 where that is not known.
    """

    def __init__(self, total: int) -> None:
        self.total, self.start, self.live = total, time.perf_counter(), sys.stderr.isatty()

    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def reaches_tenth(self, done: int) -> bool:
        """Whether the last one took it over another tenth of the way."""
        return 10 * done // self.total > 10 * (done - 1) // self.total

    def left(self, done: int) -> str:
        seconds = round(self.seconds() / done * (self.total - done))
        return f"{seconds // 60}:{seconds % 60:02} left"

    def put(self, line: str, done: int, end: str = "") -> None:
        """Writes a line, on a terminal in place of the last one and behind a bar if the number is known."""
        if not self.live:
            print(line, file=sys.stderr, flush=True)
            return
        bar = f"[{('#' * (20 * done // self.total)).ljust(20, '.')}] " if done <= self.total else ""
        print(f"\r{bar}{line}\033[K", end=end, file=sys.stderr, flush=True)


class Progress(_Bar):
    """Of photographs; a line at every tenth of the way."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.done = 0

    def advance(self, path: str, error: str) -> None:
        """One more is done, or was skipped for an error."""
        self.done += 1
        if error:
            clear = "\r\033[K" if self.live else ""
            print(f"{clear}skipped: {path}: {error}", file=sys.stderr)
        if self.live or self.reaches_tenth(self.done):
            line = f"{self.done} of {self.total} images, {self.left(self.done)}"
            self.put(line, self.done, end="\n" if self.done == self.total else "")


class FrameProgress(_Bar):
    """Of frames of a video, with their speed; a line every ten seconds where their number is not known."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.told = 0.0  # seconds from the start

    def show(self, done: int) -> None:
        """So many are done."""
        seconds = self.seconds()
        if self.total and not self.live:
            wanted = self.reaches_tenth(done)
        else:
            wanted = seconds - self.told > (0.2 if self.live else 10.0) or done == self.total
        if not wanted:
            return
        self.told = seconds
        speed = f"{done / max(seconds, 1e-9):.1f} a second"
        if done <= self.total:
            self.put(f"{done} of {self.total} frames, {speed}, {self.left(done)}", done)
        else:
            self.put(f"{done} frames, {speed}", done)

    def end(self) -> None:
        """No more come: what follows begins on a line of its own."""
        if self.live and self.told:
            print(file=sys.stderr)
