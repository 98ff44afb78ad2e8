"""What runs a sweep's file asks for: methods x numbers of labels x seeds x variants over settings files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from ass_tf import config
from ass_tf.config import schema, sections
from ass_tf.system import storage, terminal

NAMES = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+]+$", max_length=80)]


class Method(schema.Section):
    file: str
    """Settings file, relative to the sweep's."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings that this method's runs change, dotted."""

    @model_validator(mode="before")
    @classmethod
    def _of_a_name(cls, given: Any) -> Any:
        """The file alone may stand in place of the whole."""
        return {"file": given} if isinstance(given, str) else given


class Plan(schema.Section):
    methods: Annotated[dict[NAMES, Method], Field(min_length=1)]
    """Name -> settings file, relative to this one; or that with settings to change."""
    labelled: Annotated[tuple[sections.NotNegative | Literal["all"], ...], Field(min_length=1)]
    """Numbers of labelled target images; 0 is left out for methods that need some."""
    seeds: Annotated[tuple[sections.NotNegative, ...], Field(min_length=1)] = (0,)
    """Seeds of weights, order of images, and the draw of the labelled ones."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings that all runs change, dotted."""
    variants: dict[NAMES, dict[str, Any]] = Field(default_factory=dict)
    """Name -> settings that a variant changes; every run is made for every variant."""


class Cell(NamedTuple):
    """One run of a sweep."""

    method: str
    labelled: int | str
    seed: int
    variant: str | None
    file: Path  # of the method's settings
    overrides: tuple[str, ...]
    settings: config.Config

    @property
    def name(self) -> str:
        parts = [self.method, self.variant, str(self.labelled), str(self.seed)]
        return "-".join(part for part in parts if part is not None)


def cells_of(file: Path, overrides: Sequence[str] = ()) -> list[Cell]:
    """All runs of a sweep's file, seed by seed, so that a whole table is there early.

    Args:
        file: JSON with the keys of `Plan`, or a list of such.
        overrides: KEY=VALUE words for all runs.

    Raises:
        ConfigError: the file, or the settings of one of its runs, cannot be used.
    """
    cells: dict[str, Cell] = {}
    for plan in _plans(file):
        for cell in _product(plan, file, overrides):
            if cells.setdefault(cell.name, cell).settings != cell.settings:
                raise config.ConfigError(f"{file}: {cell.name} must be one run. Received: two with other settings.")
    if not cells:
        raise config.ConfigError(f"{file}: there must be a run. Received: none, or none that can do without labels.")
    return sorted(cells.values(), key=lambda cell: cell.seed)


def _plans(file: Path) -> list[Plan]:
    content = storage.read_json(file, config.ConfigError, kind=None)
    plans = []
    for grid in content if isinstance(content, list) else [content]:
        try:
            plans.append(Plan.model_validate_json(json.dumps(grid)))
        except ValidationError as error:
            raise config.ConfigError(f"{file}: {terminal.explain(error.errors(), _keys(grid))}") from None
    return plans


def _keys(grid: Any) -> list[str]:
    """Dotted names of all that a grid may state."""
    methods = grid.get("methods") if isinstance(grid, dict) else None
    names = methods if isinstance(methods, dict) else {}
    return [*Plan.model_fields, *(f"methods.{name}.{key}" for name in names for key in Method.model_fields)]


def listed(file: Path) -> list[dict[str, Any]]:
    """The runs that a sweep.json lists; none where there is no such file.

    Raises:
        ConfigError: it is damaged.
    """
    cells = storage.read_json(file, config.ConfigError, kind=list, missing=[])
    kinds = {"name": str, "method": str, "variant": str | None, "labelled": int | str, "seed": int}
    for cell in cells:
        sound = isinstance(cell, dict) and all(isinstance(cell.get(key, ...), kind) for key, kind in kinds.items())
        if not sound or (isinstance(cell["labelled"], str) and cell["labelled"] != "all"):
            rule = f"each entry must have {', '.join(kinds)}"
            raise config.ConfigError(f"{file}: {rule}. Received: {storage.shown(json.dumps(cell))}.")
        storage.check_name(cell["name"], f"{file}: name", config.ConfigError)
    return cells


def _resolved(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Dotted settings with the paths that belong to them relative to the working directory."""
    own = {key: value for key, value in settings.items() if key.rpartition(".")[2] in config.BESIDE}
    return settings | {key: config.beside(file, value) for key, value in own.items() if isinstance(value, str)}


def _product(plan: Plan, plan_file: Path, overrides: Sequence[str]) -> Iterator[Cell]:
    variants: list[tuple[str | None, dict[str, Any]]] = [*plan.variants.items()] or [(None, {})]
    for seed, labelled, (variant, changes), (name, method) in itertools.product(
        plan.seeds, plan.labelled, variants, plan.methods.items()
    ):
        file = config.named(plan_file, method.file, f"methods.{name}")
        place = {"seed": seed, "target.labelled_seed": seed, "target.labelled": labelled}
        settings = _resolved(plan_file, {**place, **plan.set, **method.set, **changes})
        words = (*(f"{key}={json.dumps(value)}" for key, value in settings.items()), *overrides)
        if labelled == 0 and config.load(file, [*words, "target.labelled=1"]).recipe.needs_labels:
            continue
        cell = Cell(name, labelled, seed, variant, file, words, config.load(file, words))
        _refuse_another(cell, [*plan.set, *changes, *(word.partition("=")[0] for word in overrides)])
        yield cell


def _refuse_another(cell: Cell, changed: Sequence[str]) -> None:
    """Raises ConfigError where some setting makes a run another than its name and its place in the table say.

    Args:
        cell: the run.
        changed: keys that all runs, or those of a variant, change.
    """
    if "method" in changed:
        raise config.ConfigError(f"method of {cell.name} is the sweep's own: only an entry of methods may set it.")
    target = cell.settings.target
    own = {
        "seed": (cell.settings.seed, cell.seed),
        "target.labelled": (target.labelled, cell.labelled),
        "target.labelled_seed": (target.labelled_seed, cell.seed),
        "target.labelled_list": (target.labelled_list, None),
    }
    for key, (found, expected) in own.items():
        if found != expected:
            raise config.ConfigError(
                f"{key} of {cell.name} is the sweep's own, {json.dumps(expected)}. Received: {json.dumps(found)}."
            )
