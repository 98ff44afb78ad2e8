"""The model card that an exported model carries: what someone who gets the model alone must know.

As metadata in the model, and as a page beside it. Source of the page's parts: Mitchell et al. 2019, "Model Cards for
Model Reporting", arXiv 1810.03993.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ass_tf
from ass_tf import config, labels
from ass_tf.runs import trained
from ass_tf.runs.folder import RunFolder
from ass_tf.system import storage, terminal

LOADING = """```python
import tensorflow as tf

serve = tf.saved_model.load("FOLDER").signatures["serving_default"]  # FOLDER holds saved_model.pb
labels = serve(image=tf.constant(images))["labels"]  # uint8 (n, h, w, 3), RGB -> uint8 (n, h, w), train ids
```"""


def description(
    run: str | Path, settings: config.Config, which: str, step: int, network: str | None = None
) -> dict[str, str]:
    """What an exported model carries with it, as text; lists and settings are JSON.

    Returns:
        entries: `class_names`, `train_ids` and `colours` ([red, green, blue] each) in one order; `ignore`, the id of
            pixels that take no part; `size`, [height, width] of the images that the model was judged on; `settings`,
            the whole config.json; `run`, `snapshot`, `step`, with self-training `network`; `ass_tf_version`.
    """
    names = settings.class_names
    return {
        "class_names": json.dumps(list(names)),
        "train_ids": json.dumps(list(range(len(names)))),
        "colours": json.dumps(labels.colours(names)[: len(names)].tolist()),
        "ignore": str(labels.IGNORE),
        "size": json.dumps(trained.judged_size(settings)),
        "settings": json.dumps(settings.model_dump(mode="json")),
        "run": Path(run).resolve().name,
        "snapshot": which,
        "step": str(step),
        **({"network": trained.network_of(settings, network)} if settings.self_trains else {}),
        "ass_tf_version": ass_tf.__version__,
    }


def page(
    run: str | Path, entries: Mapping[str, str], file: str, command: list[str], is_saved_model: bool = False
) -> str:
    """The card as Markdown.

    Args:
        run: folder of the run.
        entries: as `description` returns them, with `precision` where that is not float32.
        file: name of the exported model.
        command: words that exported it.
        is_saved_model: whether it is no ONNX file but a SavedModel.

    Raises:
        ValueError: a file of the run cannot be read.
    """
    folder = RunFolder(run)
    settings, step = folder.settings(), int(entries["step"])
    is_judged = entries.get("network", "student") == trained.network_of(settings)
    found = folder.read_result(missing={}).values() if is_judged else ()
    scores = next((s for s in found if _is_of(s, step)), None)
    sessions, precision = folder.read_sessions(), entries.get("precision", "float32")
    height, width = json.loads(entries["size"])
    blocks = [
        f"# {file}",
        f"A segmentation network for street scenes with {len(settings.class_names)} classes: {_network(settings)}, "
        f"trained by ass_tf {ass_tf.__version__} (`{settings.method}`"
        + (", with self-training" if settings.self_trains else "")
        + f"), step {step}. Precision: {precision}.",
        "## Use",
        f"It takes RGB images and gives a class to each pixel. It was judged on images of {height} x {width} pixels "
        "(height x width), and works well near that size only. "
        + ("Shrink images to it:" if is_saved_model else "`ass-tf-infer` shrinks images to it:"),
        LOADING if is_saved_model else f"```sh\nass-tf-infer {shlex.quote(file)} PHOTOGRAPHS --out DIR\n```",
        "## Data",
        _table(["role", "data set", "images", "terms of use"], _data(folder, settings)),
        "## Scores",
        *(_scores(settings, scores, precision) if is_judged else [f"The {entries['network']} was not scored."]),
        "## Limits",
        _limits(settings, scores),
        "## Settings",
        "What differs from the default settings; `settings` in the model's metadata holds all of them.",
        f"```json\n{json.dumps(settings.model_dump(mode='json', exclude_defaults=True), indent=1)}\n```",
        f"Initial weights: {_weights(settings, sessions)}.",
        "## Commands",
        "\n".join(["```sh", *_trained_by(sessions), shlex.join(command), "```"]),
    ]
    return "\n\n".join(blocks) + "\n"


def write(run: str | Path, entries: Mapping[str, str], model: Path, command: list[str]) -> Path:
    """Writes the page beside a model; returns its path.

    Raises:
        ValueError, OSError: as `page`, or it cannot be written.
    """
    path = model.with_name(f"{model.stem}.card.md")
    storage.write_text(path, page(run, entries, model.name, command))
    return path


def _is_of(scores: Any, step: int) -> bool:
    return isinstance(scores, dict) and scores.get("step") == step and isinstance(scores.get("iou"), dict)


def _network(settings: config.Config) -> str:
    model = settings.model
    return f"{model.backbone} with the head {model.head}, output stride {model.output_stride}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)


def _data(folder: RunFolder, settings: config.Config) -> list[list[str]]:
    rows = []
    for role in ("source", "labelled", "unlabelled", "validation"):
        if not (names := folder.names_of(role)).exists():
            continue
        section = getattr(settings, role if role in ("source", "validation") else "target")
        count = len(storage.read_text(names).splitlines())
        what = f"{Path(section.root).name} (`{section.dataset}`)"
        rows.append([role, what, str(count), section.licence or "not stated"])
    return rows


def _scores(settings: config.Config, scores: Mapping[str, Any] | None, precision: str) -> list[str]:
    if scores is None:
        return ["This snapshot was not scored."]
    size, of = " x ".join(map(str, trained.judged_size(settings))), "" if precision == "float32" else ", in float32"
    where = f"On the validation images, at {size} pixels{of}:"
    rows = [[name, terminal.percent(iou)] for name, iou in scores["iou"].items()]
    accuracy = scores.get("pixel_accuracy")
    return [
        where,
        _table(["class", "IoU, %"], [*rows, ["**mean**", terminal.percent(scores["miou"])]]),
        f"Pixel accuracy: {terminal.percent(accuracy)} %.",
    ]


def _limits(settings: config.Config, scores: Mapping[str, Any] | None) -> str:
    lines = [
        "- It knows streets like those of its training. Other cameras, weather, night and countries were not tried.",
        "- It gives one of its classes to every pixel, also where none of them fits.",
        "- No person's safety may rest on it alone.",
    ]
    weak = [name for name, iou in (scores or {"iou": {}})["iou"].items() if iou is not None and iou < 20]
    if weak:
        lines.insert(1, f"- It mostly misses {terminal.some(weak)}: their IoU is below 20 %.")
    return "\n".join(lines)


def _weights(settings: config.Config, sessions: Mapping[str, Any]) -> str:
    name = settings.model.weights
    digest = sessions.get("initial_weights_sha256")
    return "random" if name is None else Path(name).name + (f" (SHA-256 {digest})" if digest else "")


def _trained_by(sessions: Mapping[str, Any]) -> list[str]:
    """The command lines of all sessions, each once."""
    found = [session.get("command") for session in sessions["sessions"] if isinstance(session, dict)]
    lines = [shlex.join(map(str, words)) for words in found if isinstance(words, list) and words]
    return list(dict.fromkeys(lines))
