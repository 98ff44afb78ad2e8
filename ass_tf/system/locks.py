"""Locks between processes that share a folder, and whether they hold there.

A lock is `flock`'s: the system takes it back from a process that is killed. Where a file system has none, or keeps them
to one machine, a file that only one process can make stands for it. Its holder touches it every half minute; when it
has not been touched for five, another may take it over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import re
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ABSENT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # this file system has no flock
# Options of a mount under which flock is known to this machine only.
ONE_MACHINE = {
    "nfs": ("nolock", "local_lock=flock", "local_lock=all"),
    "nfs4": ("nolock", "local_lock=flock", "local_lock=all"),
    "lustre": ("localflock",),
    "cifs": ("nobrl",),
    "smb3": ("nobrl",),
}
BEAT, STALE = 30.0, 300.0  # seconds between two touches of a file that stands for a lock, and after which it is stale
DOUBTFUL = ("9p", "afs", "fuse", "vboxsf", "virtiofs")  # kinds that may keep flock to themselves


class Taken(ValueError):
    """Another process holds the lock; the message says which in parentheses, where that is known."""


class Lock:
    """A lock that lasts until it is closed or the process ends.

    Args:
        path: file that is locked; made if it is missing.

    Raises:
        Taken: another process, or this one, holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        self.file = open(path, "a")  # noqa: SIM115 (held until `close`)
        self.stand_in: Path | None = None
        self.closed = threading.Event()
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise Taken("") from None
        except OSError as error:
            if error.errno not in ABSENT:
                self.file.close()
                raise
            self._stand_in(Path(f"{os.fspath(path)}.held"))
        else:
            if is_of_one_machine(Path(path).parent):
                self._stand_in(Path(f"{os.fspath(path)}.held"))

    def _stand_in(self, path: Path) -> None:
        """Makes the file that stands for a lock; one whose process has died, or is not heard of, is replaced."""
        self.me = {"host": platform.node(), "pid": os.getpid()}
        for _ in range(2):
            try:
                with open(path, "x", encoding="utf-8") as stream:
                    json.dump(self.me, stream)
            except FileExistsError:
                holder = _holder(path)
                died = holder.get("host") == self.me["host"] and not _lives(holder.get("pid"))
                if not (died or _is_stale(path)) or not _put_away(path, holder):
                    break
            else:
                self.stand_in = path
                threading.Thread(target=self._beat, args=(path,), daemon=True).start()
                return
        self.file.close()
        who = f"process {holder.get('pid')} on {holder.get('host')}"
        raise Taken(f" ({path} says: {who}; if that has ended, wait {STALE / 60:.0f} minutes or delete the file)")

    def _beat(self, path: Path) -> None:
        """Touches the file while it is held. A process whose file another has taken over must not write any more."""
        while not self.closed.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(path)
            holder = _holder(path)
            if holder not in ({}, self.me) and not self.closed.is_set():
                who = f"process {holder.get('pid')} on {holder.get('host')}"
                print(f"error: {path}: {who} has taken over, since this one was not heard of.", file=sys.stderr)
                sys.stderr.flush()
                os._exit(os.EX_TEMPFAIL)

    def fileno(self) -> int:
        """Descriptor whose heirs hold the lock, too."""
        return self.file.fileno()

    def close(self) -> None:
        self.closed.set()
        self.file.close()
        if self.stand_in and _holder(self.stand_in) == self.me:
            self.stand_in.unlink(missing_ok=True)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def _holder(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lives(pid: Any) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, TypeError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _is_stale(path: Path) -> bool:
    """Whether its holder has not touched a file for long, by the clock of the file system."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".lock-") as now:
            return os.stat(now.name).st_mtime - path.stat().st_mtime > STALE
    except OSError:
        return False


def _put_away(path: Path, holder: dict[str, Any]) -> bool:
    """Removes a file that its holder has left; of several that try, the first one does."""
    mine = path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}")
    try:
        os.rename(path, mine)
    except OSError:
        return False
    if left := _holder(mine) == holder:
        mine.unlink(missing_ok=True)
    else:  # another was faster, and this is its file
        os.rename(mine, path)
    return left


def is_of_one_machine(folder: Path) -> bool:
    """Whether other machines that see a folder do not see its locks, as far as its mount tells."""
    kind, options = mount_of(folder)
    return any(option in options for option in ONE_MACHINE.get(kind, ()))


def weakness(folder: str | Path) -> str | None:
    """Why locks in a folder may not keep other processes out, or None where they do.

    It tries a lock, and looks up how the folder is mounted: whether other machines see it cannot be tried from one.

    Args:
        folder: a folder that is there.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".lock-") as one, open(one.name, "a") as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return f"file locks do nothing in {folder}; start one process at a time"
        except OSError as error:
            return f"{folder} has no file locks ({error.strerror}); files named *.held stand for them"
    kind, _ = mount_of(Path(folder))
    if is_of_one_machine(Path(folder)):
        return f"file locks in {folder} ({kind}) hold on this machine only; files named *.held stand for them elsewhere"
    if kind.partition(".")[0] in DOUBTFUL:
        return f"file locks in {folder} ({kind}) may hold on this machine only"
    return None


def mount_of(folder: Path, table: str | Path = "/proc/self/mountinfo") -> tuple[str, list[str]]:
    """File system and mount options of a folder; empty where the system has no such table."""
    try:
        lines = Path(table).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return "", []
    best, found = -1, ("", [""])
    real = Path(os.path.realpath(folder))
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), before.split()[4]))
        if len(point.parts) >= best and (point == real or point in real.parents):
            kind, _, options = after.split(maxsplit=2)
            best, found = len(point.parts), (kind, [*options.split(","), *before.split()[5].split(",")])
    return found
