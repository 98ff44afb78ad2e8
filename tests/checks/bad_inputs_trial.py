"""One trial of `check_inputs`: a form of a command on a fresh copy of the base, with one damage or two.

Damages are functions that `damage` notes, in the modules bad_inputs_json, bad_inputs_files, bad_inputs_runs and
bad_inputs_calls.
"""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bad_inputs_forms import COMMANDS, DONE, Form, forms_of
from bad_inputs_judge import Expectation

TWICE = 0.12  # share of trials with two damages


@dataclass(frozen=True)
class Damage:
    """What is done to one kind of file.

    `work` gets the file, the trial's random.Random and the trial; it returns words of which the message may hold one,
    beside the file's name, or None if this file cannot be damaged so.
    """

    name: str
    kind: str
    work: Callable
    certain: bool | None


DAMAGES: list[Damage] = []


def damage(name, *kinds, certain=True):
    """Decorator: notes a damage for kinds of files.

    Args:
        name: what the reader of the results is told.
        kinds: of files, as in `Form.reads`; "words", "out" and "block" are every form's.
        certain: commands that read such files must complain. None: they need not, and not of another damage either,
            which this one may have undone.
    """

    def note(work):
        DAMAGES.extend(Damage(name, kind, work, certain) for kind in kinds)
        return work

    return note


@dataclass
class Trial:
    """What is to be run in `place`/work, and what is known of it."""

    number: int
    form: Form
    place: Path
    words: list[str]
    told: list[str] = field(default_factory=list)
    certain: bool = False
    doubtful: bool = False
    named: list[str] = field(default_factory=list)
    outputs: tuple[str, ...] | None = None  # where a damage makes them others than the form's

    @property
    def folder(self):
        return self.place / "work"

    @property
    def expected(self):
        form, outputs = self.form, self.outputs or self.form.outputs
        certain = self.certain and not self.doubtful
        return Expectation(certain, tuple(self.named), form.changes, form.success_changes, outputs)


def names_of(kind, file, folder):
    """Words by which a message may mean a file."""
    parents = {"index", "data", "state"}
    pairs = {"classes": "mapping.json", "mapping": "classes.json"}
    return [
        file.name,
        *([file.parent.name] if kind in parents else []),
        *([file.stem.removesuffix("_leftImg8bit")] if kind in ("image", "photo") else []),
        *([pairs[kind]] if kind in pairs else []),
        *([file.parent.relative_to(folder).as_posix()] if kind in ("config", "result") else []),
        *([DONE] if kind in ("run", "snapshots") else []),
    ]


def prepare(base, place, seed, number):
    """Draws a trial by its number, makes its folder and damages it; the same number makes the same trial.

    Args:
        base: Path of the sound folder.
        place: Path of a new folder.
        seed: int.
        number: int.
    """
    draw = random.Random(f"{seed}-{number}")
    form = draw.choice(forms_of(COMMANDS[number % len(COMMANDS)]))
    trial = sound(base, place, form, number)
    for _ in range(2 if draw.random() < TWICE else 1):
        kinds = {**form.reads, **form.sees, "words": [], **({"out": []} if form.out else {})}
        kinds |= {"block": form.blocks} if form.blocks else {}
        for _ in range(100):  # some damages do not fit
            if hurt(trial, kinds, draw):
                break
    return trial


def sound(base, place, form, number=-1):
    """A trial without a damage."""
    (place / "work").mkdir(parents=True)
    for name in form.needs:
        if (base / name).is_dir():
            shutil.copytree(base / name, place / "work" / name)
    return Trial(number, form, place, form.words.split())


def hurt(trial, kinds, draw):
    """Draws one damage and does it; returns whether it could be done."""
    by_kind: dict[str, list[Damage]] = {}
    for entry in DAMAGES:
        if entry.kind in kinds:
            by_kind.setdefault(entry.kind, []).append(entry)
    kind = draw.choice(sorted(by_kind))
    chosen = draw.choice(sorted(by_kind[kind], key=lambda entry: entry.name))
    files = sorted(path for pattern in kinds[kind] for path in trial.folder.glob(pattern))
    if kind == "block":
        files = [trial.folder / path for path in kinds[kind]]
    file = draw.choice(files) if files else None
    if kinds[kind] and file is None:
        return False
    try:
        named = chosen.work(file, draw, trial)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        if not trial.told:
            raise
        return False  # the first damage is in the way of the second
    if named is None:
        return False
    where = f" {file.relative_to(trial.folder)}" if file else ""
    trial.told.append(f"{kind}{where}: {chosen.name} [{', '.join(map(str, named))}]".replace(" []", ""))
    trial.named += filter(None, [*(names_of(kind, file, trial.folder) if file else []), *named])
    trial.certain |= bool(chosen.certain) and (kind in trial.form.reads or kind in ("words", "out", "block"))
    trial.doubtful |= chosen.certain is None
    return True
