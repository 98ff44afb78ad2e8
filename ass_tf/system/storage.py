"""Files as every command reads and writes them: whole or not at all, with errors that name the file.

replacing        write under a temporary name, then rename
read_json        JSON as editors save it
literal_path     a path that TensorFlow does not take for a pattern
check_folder     whether a result can be written, asked before the work begins
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATTERN = re.compile(r"[*?\[\]\\]")  # what TensorFlow's file systems match in a path
LONGEST = 255  # bytes of a file's name, on every common file system
Error = type[ValueError]


def reason(error: OSError) -> str:
    """An OSError as one line that names the file."""
    text = error.strerror or str(error) or type(error).__name__
    return f"{os.fspath(error.filename)}: {text}." if error.filename is not None else f"{text}."


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name in the folder of `path`, renamed to it when the context ends well and removed when it does not.

    Args:
        path: the file to write. Its folder is made if it is missing.

    Yields:
        unfinished: Path in the same folder, hidden.

    Raises:
        OSError: the folder cannot be made or the file not renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    start = os.fsencode(path.name)[:100].decode(errors="ignore")
    # Another process, on another machine even, may write the same file.
    unfinished = path.with_name(f".{start}.{secrets.token_hex(4)}.part")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        if error.filename is not None and os.fspath(error.filename) == str(unfinished):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 file whole or not at all, and waits until it is on the disk."""
    with replacing(path) as unfinished, open(unfinished, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def as_json(content: Any) -> str:
    """Text for `write_text`: indented, but with a row of numbers on one line.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(content, indent=2, allow_nan=False)
    return re.sub(r"\[\n[\d\s,.]+\]", lambda row: " ".join(row[0].split()), text) + "\n"


def read_text(path: str | Path, error: Error = ValueError) -> str:
    """Text of a UTF-8 file, with or without a byte-order mark.

    Args:
        path: the file.
        error: class of the error.

    Raises:
        error: the file cannot be read or is no UTF-8; the message names it.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as caught:
        raise error(f"{path}: {caught.strerror}.") from None
    except UnicodeDecodeError as caught:
        byte = caught.object[caught.start]
        raise error(f"{path}: the file must be text in UTF-8. Received: {byte:#04x} as byte {caught.start}.") from None
    except ValueError as caught:  # a name that holds a null byte
        raise error(f"{shown(str(path))}: {caught}.") from None


def read_json(path: str | Path, error: Error = ValueError, kind: type | None = dict, missing: Any = ...) -> Any:
    """Content of a JSON file.

    Args:
        path: the file.
        error: class of the error.
        kind: dict or list, what the file must hold; None: anything.
        missing: what to return if there is no such file; by default that is an error.

    Raises:
        error: the file cannot be read, is no JSON, names a key twice, or holds something else; the message names it.
    """
    if missing is not ... and not os.path.lexists(path):
        return missing
    text = read_text(path, error)
    try:
        content = json.loads(text, object_pairs_hook=_refuse_twins)
    except RecursionError:
        raise error(f"{path}: no valid JSON: nested too deeply.") from None
    except ValueError as caught:
        raise error(f"{path}: no valid JSON: {caught}.") from None
    if kind is not None and not isinstance(content, kind):
        names: dict[type, str] = {dict: "object", list: "list"}
        raise error(f"{path}: the file must hold a JSON {names[kind]}. Received: {shown(json.dumps(content))}.")
    return content


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} is there twice")
    return content


def shown(text: str, longest: int = 200) -> str:
    """Text for an error message: one line, with letters that nobody would see spelled out."""
    text = text if len(text) <= longest else text[:longest] + "..."
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def check_name(path: str | Path, what: str, error: Error = ValueError) -> None:
    """Refuses a path that some command could not use later.

    Args:
        path: as the user gave it.
        what: the option or key, for the message.
        error: class of the error.

    Raises:
        error: the path is empty, holds a control character or bytes that are no UTF-8, or has a part that is too long.
    """
    text = os.fspath(path)
    rule = None
    if not text:
        rule = "not be empty"
    elif any(letter < " " or letter == "\x7f" for letter in text):
        rule = "not hold control characters"
    elif any("\ud800" <= letter <= "\udfff" for letter in text):
        rule = "be UTF-8"
    elif any(len(part.encode()) > LONGEST for part in Path(text).parts):
        rule = f"have parts of at most {LONGEST} bytes"
    if rule:
        raise error(f"{what} must {rule}. Received: {shown(text)}.")


def check_folder(folder: str | Path, what: str, error: Error = ValueError) -> None:
    """Refuses a folder of results that cannot be made or written, before the work whose results it gets.

    Args:
        folder: the folder; it may be missing, and stays so.
        what: the option or key, for the message.
        error: class of the error.

    Raises:
        error: it, or the folder in which it would be made, is a file or cannot be written.
    """
    check_name(folder, what, error)
    place = Path(folder)
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise error(f"{what} must be a folder. Received: {folder} ({place} is no folder).")
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as caught:
        rule = f"{what} must be a folder that can be written"
        raise error(f"{rule}. Received: {folder} ({place}: {caught.strerror}).") from None


def check_file(file: str | Path, what: str, error: Error = ValueError) -> None:
    """Refuses a result's file that cannot be written, as `check_folder` does."""
    check_name(file, what, error)
    if Path(file).is_dir():
        raise error(f"{what} must be a file. Received: {file}, a folder.")
    check_folder(Path(file).parent, f"the folder of {what}", error)


def next_version(folder: Path) -> Path:
    """The next of the numbered versions 1, 2, ... in a folder."""
    taken = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    return folder / str(max(taken, default=0) + 1)


@contextlib.contextmanager
def literal_path(path: str | Path) -> Iterator[str]:
    """A path of the same folder that TensorFlow reads as it is.

    TensorFlow takes `*`, `?`, `[`, `]` and a backslash in the path of a checkpoint or SavedModel for a pattern, and
    finds nothing. Where there are some, the folder gets another name for as long as the context lasts: a symbolic link.

    Args:
        path: a folder that is there.

    Raises:
        OSError: no folder for temporary files has a plain name.
    """
    path = os.path.abspath(path)
    if not PATTERN.search(path):
        yield path
        return
    places = [place for place in (tempfile.gettempdir(), "/tmp", "/var/tmp") if not PATTERN.search(place)]
    place = next((place for place in places if os.access(place, os.W_OK | os.X_OK)), None)
    if place is None:
        raise OSError(f"{path}: TensorFlow takes this name for a pattern; set TMPDIR to a folder with a plain name.")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        link = os.path.join(folder, "folder")
        os.symlink(path, link)
        yield link
