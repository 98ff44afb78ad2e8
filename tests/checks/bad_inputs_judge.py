"""What a command may do with a bad input, for `check_inputs`: no command runs here.

KINDS are the kinds of failure. `hang`, `died` and `disagrees` are found by who runs the command, the others by `judge`.
"""

import fnmatch
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

KINDS = ("traceback", "status", "message", "lost", "outputs", "hang", "died", "disagrees")
MOST_LINES, LONGEST_LINE = 12, 1000
RAW = re.compile(r"\b[A-Z]\w*(Error|Exception|Warning|Interrupt)\(")  # repr of an exception
TOLD = ("error: ", "skipped: ")
LEFT_OVER = ("*.part", "tmp*", ".old-*", ".lock-*")
OF_LIBRARIES = ("__autograph_generated_file*", ".ses")  # of TensorFlow, until the process ends, and of onnxruntime
TEMPORARY = "TMPDIR/"  # before the names of what lies in the folder for temporary files


@dataclass
class Expectation:
    """What is known of a trial before its command runs.

    Args:
        certain: the command must refuse the input.
        named: words of which the message must hold one, if that is certain.
        changes: patterns of files that the command may change or remove, whatever comes of it.
        success_changes: the same of a command that succeeds.
        outputs: patterns of files that must be there and readable after success; "stdout" is what is printed.
    """

    certain: bool = False
    named: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    success_changes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("stdout",)


@dataclass
class Outcome:
    """What came of a command: `raised` is a traceback, `before` and `after` are `digests` of its folder."""

    status: int | None
    stdout: str = ""
    stderr: str = ""
    raised: str = ""
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def digests(folder):
    """Path relative to `folder` -> digest, of all files; "folder" of a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = b"" if path.is_dir() else path.read_bytes()
        found[path.relative_to(folder).as_posix()] = "folder" if path.is_dir() else hashlib.sha1(content).hexdigest()
    return found


def errors_of(outcome):
    """The lines that say what is wrong."""
    return [line for line in outcome.stderr.splitlines() if line.startswith(TOLD)]


def judge(outcome, expected, folder=None):
    """Failures of a command that has ended.

    Args:
        outcome: Outcome.
        expected: Expectation.
        folder: Path where the command has run, for its outputs; None: they are not looked at.

    Returns:
        failures: list of (kind, text).
    """
    if outcome.raised or "Traceback (most recent call last)" in outcome.stdout + outcome.stderr:
        lines = (outcome.raised or outcome.stderr or outcome.stdout).strip().splitlines()
        found = [("traceback", lines[-1])]
    else:
        found = [*_of_status(outcome, expected), *_of_message(outcome, expected)]
    found += _of_files(outcome, expected)
    if outcome.status == 0 and folder is not None:
        found += [("outputs", text) for text in unreadable(expected.outputs, folder, outcome.stdout)]
    return found


def _of_status(outcome, expected):
    if outcome.status not in (0, 1, 2):
        return [("status", f"must be 0, 1 or 2. Received: {outcome.status}.")]
    if outcome.status == 0 and expected.certain:
        return [("status", "must not be 0: the input cannot be used.")]
    return []


def _of_message(outcome, expected):
    if outcome.status == 0:
        return []
    told, found = errors_of(outcome), []
    failed = [line for line in outcome.stdout.splitlines() if ": failed: " in line]  # a sweep tells of its runs so
    usage = re.findall(r"^.*: error: .*$", outcome.stderr, re.M) if "usage: " in outcome.stderr else []
    lines = [*told, *failed, *usage]
    if not lines:
        found.append(("message", "a line must start `error: `."))
    if len(lines) > MOST_LINES:
        found.append(("message", f"at most {MOST_LINES} lines of errors may be written. Received: {len(lines)}."))
    found += [("message", f"holds the repr of an exception: {line[:300]}") for line in lines if RAW.search(line)]
    found += [("message", f"a line of {len(line)} letters: {line[:100]}") for line in lines if len(line) > LONGEST_LINE]
    text = " ".join(lines)
    if lines and expected.certain and expected.named and not any(word in text for word in expected.named):
        found.append(("message", f"must name one of {', '.join(expected.named)}."))
    return found


def _of_files(outcome, expected):
    may = expected.changes + (expected.success_changes if outcome.status == 0 else ())
    found = []
    for name, digest in outcome.before.items():
        now = outcome.after.get(name)
        if now != digest and not _matches(name, may):
            found.append(("lost", f"{name}: {'is gone' if now is None else 'has changed'}"))
    for name in outcome.after.keys() - outcome.before.keys():
        end = name.rpartition("/")[2]
        patterns = ("*",) if name.startswith(TEMPORARY) else LEFT_OVER
        if _matches(end, patterns) and not _matches(end, OF_LIBRARIES):
            found.append(("lost", f"{name}: was left over"))
    return found


def _matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def unreadable(patterns, folder, stdout):
    """Which of the outputs are missing or cannot be read, and why."""
    found = []
    for pattern in patterns:
        if pattern == "stdout":
            found += [] if stdout.strip() else ["nothing was printed"]
            continue
        files = sorted(folder.glob(pattern))
        found += [] if files else [f"{pattern}: there is none"]
        for file in files:
            try:
                _read(file)
            except Exception as error:  # of many kinds
                found.append(f"{file.relative_to(folder)}: cannot be read: {error!r}"[:300])
    return found


def _read(file: Path):
    """Reads a result as its suffix has it; raises an error of any kind."""
    if file.suffix in (".png", ".jpg"):
        from PIL import Image

        with Image.open(file) as image:
            image.load()
    elif file.suffix == ".json":
        json.loads(file.read_text())
    elif file.suffix == ".jsonl":
        for line in file.read_text().splitlines():
            json.loads(line)
    elif file.suffix == ".onnx":
        import onnx

        onnx.checker.check_model(onnx.load(file))
    elif file.suffix == ".safetensors":
        from safetensors.numpy import load_file

        if not load_file(file):
            raise ValueError("holds no tensors")
    elif not file.read_bytes() or (file.suffix == ".html" and "</html>" not in file.read_text()):
        raise ValueError("is empty or not whole")
