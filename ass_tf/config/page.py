"""docs/settings.md: every setting with its type, bounds, default and meaning, as Markdown made from the schema.

    python -m ass_tf.config --markdown > docs/settings.md       or `make docs`

A meaning is the docstring under the field in `schema`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ass_tf.config.schema import Config, Section

INTRODUCTION = """\
# Settings

<!-- Written by `make docs` from ass_tf/config/schema.py. Edit the docstrings there, and the text in page.py. -->

A settings file is JSON and describes one experiment. It states only what differs from the defaults below.

```sh
python -m ass_tf.config configs/gta_csa.json    # every setting of a file, defaults included
python -m ass_tf.config --schema                # the JSON schema, for editors that check JSON
```

- `base` names another settings file. The file then states only what differs from that one.
- `--set KEY=VALUE` changes settings on the command line: `--set target.labelled=100 optimiser.lr=1e-4`. The value is
  JSON, or plain text where the setting is text.
- An unknown key, a wrong type or an impossible combination stops the command with one line that names the key.
- A file that changes `dataset` does not inherit the mapping and the lists of its base. A file that changes the
  optimiser does not inherit its options.
- The shipped files are found by their name alone: `--config gta_csa.json` is `configs/gta_csa.json`.

Relative paths follow one rule:

- Files that belong to the settings are relative to the file that names them: `base`, `class_file`, `mapping`, `list`,
  `labelled_list`, and the files of a sweep. Earlier versions had mappings and lists relative to the working directory;
  they are still found there.
- `root` and `model.weights` say where data lie on your machine. They are relative to the working directory, and so is
  everything in `--set`.

The letters are those of the [paper in one page](method.md): G is the segmentation network, D_g and D_s are the
discriminators. What the files in `configs/` are for is listed in [training](training.md#shipped-settings-files).
"""
HEAD = "| setting | type | default | meaning |\n|---|---|---|---|"
NAMES = {"string": "text", "boolean": "true or false", "null": "null", "object": "object of keywords"}


def markdown() -> str:
    """The whole page."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    shown: dict[type[Section], str] = {}
    plain = [name for name, field in Config.model_fields.items() if section_of(field.annotation) is None]
    parts = [INTRODUCTION, f"## Top level\n\n{_table(schema, plain, definitions)}\n"]
    for name, field in Config.model_fields.items():
        kind = section_of(field.annotation)
        if kind is None:
            continue
        text = f"## {name}\n\n{' '.join((field.description or '').split())}"
        known = next((other for other in shown if issubclass(kind, other)), None)
        keys = [key for key in kind.model_fields if known is None or key not in known.model_fields]
        if known is not None:
            text += f"\n\nThe keys are those of `{shown[known]}`{', and:' if keys else '.'}"
        if keys:
            text += f"\n\n{_table(definitions[kind.__name__], keys, definitions, f'{name}.')}"
        parts.append(f"{text}\n")
        shown.setdefault(kind, name)
    return "\n".join(parts)


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a setting's type is or may be."""
    for option in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(option, type) and issubclass(option, Section):
            return option
    return None


def _table(schema: dict[str, Any], keys: list[str], definitions: dict[str, Any], above: str = "") -> str:
    return "\n".join([HEAD, *_rows(schema, keys, definitions, above)])


def _rows(schema: dict[str, Any], keys: list[str], definitions: dict[str, Any], above: str) -> Iterator[str]:
    for key in keys:
        field = schema["properties"][key]
        default = f"`{json.dumps(field['default'])}`" if "default" in field else "must be given"
        meaning = " ".join(field.get("description", "").split())
        cells = f"`{above}{key}`", _type(field, definitions), default, meaning
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in field:
        return _type(definitions[field["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(option, definitions) for option in field["anyOf"]))
    if "enum" in field or "const" in field:
        *first, last = (f"`{json.dumps(value)}`" for value in field.get("enum", [field.get("const")]))
        return f"{', '.join(first)} or {last}" if first else last
    kind = field.get("type")
    if kind == "array":
        if "prefixItems" not in field:
            return f"list of {_type(field['items'], definitions).replace('integer', 'integers', 1)}"
        items = list(dict.fromkeys(_type(item, definitions) for item in field["prefixItems"]))
        return f"list of {len(field['prefixItems'])} {' and '.join(items).replace('integer', 'integers', 1)}"
    if kind in ("integer", "number"):
        return f"{kind}{_bounds(field)}"
    return NAMES.get(kind or "", kind or "any")


def _bounds(field: dict[str, Any]) -> str:
    least, most, above, below = (
        field.get(key) for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    )
    if field["type"] == "integer":  # whole numbers above 0 start at 1
        least = above + 1 if above is not None else least
        most, above, below = below - 1 if below is not None else most, None, None
    start = f" from {_number(least)}" if least is not None else f" above {_number(above)}" if above is not None else ""
    end = f" to {_number(most)}" if most is not None else f", below {_number(below)}" if below is not None else ""
    return start + end


def _number(value: float) -> str:
    """Short: 10^12 and 2^32 - 1 rather than their digits."""
    known: dict[float, str] = {10**12: "10^12", 2**32 - 1: "2^32 - 1"}
    return known.get(value, f"{value:g}")
