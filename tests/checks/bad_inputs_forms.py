"""The ways in which `check_inputs` calls its commands, what each reads, and what it may change.

A form that `reads` a kind of file cannot do without it: a damaged one must be refused. What it `sees` may be damaged
without harm.
"""

from dataclasses import dataclass, field

from bad_inputs_worker import MODULES

GAME = "data/gta5"
STREETS = ("data/cityscapes/leftImg8bit/*/*/*.png", "data/cityscapes/gtFine/*/*/*.png")
VALIDATION = ("data/cityscapes/leftImg8bit/val/*/*.png", "data/cityscapes/gtFine/val/*/*.png")
DONE, SNAPSHOT = "runs/done", "runs/done/snapshots/*2"
SMALL, FOLDER = "--config settings/small.json", "--config settings/folder.json"
SETTINGS = {"settings": ["settings/small.json"], "values": ["settings/small.json"]}
SCENES = {"image": [f"{GAME}/images/*.png", STREETS[0]], "label": [f"{GAME}/labels/*.png", STREETS[1]]}
OWN = {
    "settings": ["settings/folder.json", "settings/small.json"],
    "image": ["data/folder/images/*.png"],
    "label": ["data/folder/labels/*.png"],
    "classes": ["data/folder/classes.json"],
    "mapping": ["lists/mapping.json"],
    "list": ["lists/images.txt", "lists/labelled.txt"],
}
WEIGHTS = {"index": [f"{SNAPSHOT}/weights.index"], "data": [f"{SNAPSHOT}/weights.data*"]}
RUN = {"config": [f"{DONE}/config.json"], "values": [f"{DONE}/config.json"], "run": [DONE]}
TRAINED = {**RUN, **WEIGHTS, "state": [f"{SNAPSHOT}/state.json"], "snapshots": [f"{DONE}/snapshots"]}
BEGUN = {**{key: TRAINED[key] for key in TRAINED if key != "run"}, "values": [*SETTINGS["values"], *RUN["values"]]}
LOGGED = {"log": [f"{DONE}/log.jsonl"], "board": [f"{DONE}/tensorboard/*"]}
RESULT, HISTORY = {"result": [f"{DONE}/result.json"]}, {"history": [f"{DONE}/run.json"]}
KEPT = {"picture": [f"{DONE}/pictures/*.png"], "feature": [f"{DONE}/features/*.npz"]}
RUNS = {"result": ["sweep/*/result.json"], "config": ["sweep/*/config.json"], "values": ["sweep/*/config.json"]}
PLANNED = {
    **SETTINGS,
    **RUNS,
    "values": [*SETTINGS["values"], *RUNS["values"]],
    "plan": ["settings/plan.json"],
    "set": [],
}
SCORED = {"result": RUNS["result"], "values": RUNS["values"], "cells": ["sweep/sweep.json"]}
# Of a run that goes on: what it writes while it trains, and what it replaces when it has ended.
GOES_ON = (f"{DONE}/lock", f"{DONE}/log.jsonl", f"{DONE}/tensorboard*")
ENDS = (f"{DONE}/*",)


@dataclass(frozen=True)
class Form:
    """One way to call a command.

    Args:
        command: key of MODULES.
        words: what follows its name.
        needs: files and folders of the base that are copied for it.
        reads, sees: kind of file -> patterns of paths.
        masked: dotted settings whose value the form itself or the sweep gives.
        out: the option that names where results go, and "file" or "folder"; None of a command without.
        blocks: files that the command writes, in whose place there may be a folder.
        listed: a list file names every image.
        changes, success_changes, outputs: as of Expectation.
    """

    command: str
    words: str
    needs: tuple[str, ...]
    reads: dict[str, list[str]]
    sees: dict[str, list[str]] = field(default_factory=dict)
    masked: tuple[str, ...] = ()
    out: tuple[str, str] | None = None
    blocks: tuple[str, ...] = ()
    listed: bool = False
    changes: tuple[str, ...] = ()
    success_changes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("stdout",)


TWO = ["photographs/street.jpg", "photographs/yard.png"]
DATA = ("data", "settings", "lists")
NEW = ("runs/new/config.json", "runs/new/result.json", "runs/new/log.jsonl", "runs/new/snapshots/*2/state.json")
GROWN = ("runs/done/result.json", "runs/done/run.json", "runs/done/log.jsonl", "runs/done/snapshots/*/state.json")
SCORES = ("evaluation/result.json", "evaluation/strips/*.png")
BY_SWEEP = ("seed", "method", "target.labelled", "target.labelled_seed", "train.feature_images", "losses.lambda_seg")
PAGE = ("index.html", "table.md", "table.csv")
TRAINS = {
    "out": ("--run", "folder"),
    "blocks": ("runs/new/log.jsonl", "runs/new/config.json", "runs/new/data"),
    "outputs": ("stdout", *NEW),
}


def _under(folder, names):
    return tuple(f"{folder}/{name}" for name in names)


FORMS = [
    Form("datasets", "settings/small.json", DATA, {**SETTINGS, **SCENES, "set": []}),
    Form("datasets", "settings/folder.json", DATA, {**OWN, "set": []}, listed=True),
    Form("datasets", "settings/folder.json --list labelled", DATA,
         {k: v for k, v in OWN.items() if k not in ("image", "label")} | {"set": []},
         sees={"image": OWN["image"], "label": OWN["label"]}, listed=True),
    Form("train", f"{SMALL} --run runs/new", DATA, {**SETTINGS, **SCENES, "set": []}, **TRAINS),
    Form("train", f"{FOLDER} --run runs/new", DATA, {**OWN, "set": []}, listed=True, **TRAINS),
    Form("train", f"{SMALL} --run {DONE} --set train.steps=3", (*DATA, DONE),
         {**SETTINGS, **SCENES, **BEGUN, **RESULT, **HISTORY, "tables": [f"{DONE}/data/tables.json"], "set": []},
         sees={**LOGGED, **KEPT, "names": [f"{DONE}/data/*.txt"], "run": [DONE]}, masked=("train.steps",),
         changes=GOES_ON, success_changes=ENDS, outputs=("stdout", *GROWN)),
    Form("train", f"{SMALL} --run {DONE}", (*DATA, DONE), {**SETTINGS, "config": RUN["config"], **RESULT, "set": []},
         sees={**LOGGED, **HISTORY, **WEIGHTS, **{key: TRAINED[key] for key in ("run", "snapshots", "state")}},
         changes=GOES_ON, success_changes=ENDS),
    Form("train", f"{SMALL} --run runs/new --set model.weights=weights/own.safetensors", (*DATA, "weights"),
         {"tensors": ["weights/own.safetensors"], "set": []}, masked=("model.weights",), **TRAINS),
    Form("evaluate", f"--run {DONE}", (*DATA, DONE),
         {**TRAINED, **RESULT, "image": [VALIDATION[0]], "label": [VALIDATION[1]], "validation": []},
         sees={**HISTORY, **LOGGED}, out=("--out", "folder"), changes=(f"{DONE}/evaluation/*",),
         blocks=(f"{DONE}/evaluation/result.json", f"{DONE}/evaluation/strips"), outputs=_under(DONE, SCORES)),
    Form("evaluate", f"--run {DONE} --out scores --data settings/data.json", (*DATA, DONE),
         {**TRAINED, **RESULT, "image": [VALIDATION[0]], "label": [VALIDATION[1]], "section": ["settings/data.json"]},
         out=("--out", "folder"), outputs=("scores/result.json", "scores/strips/*.png")),
    Form("evaluate", f"--run {DONE} --flip --scales 0.75 1 --snapshot last --data split=train", (*DATA, DONE),
         {**TRAINED, **RESULT, "validation": []}, changes=(f"{DONE}/evaluation/*",), outputs=_under(DONE, SCORES)),
    Form("sweep", "--config settings/plan.json --out sweep", (*DATA, "sweep"),
         {**PLANNED, "cells": ["sweep/sweep.json"]},
         sees={"status": ["sweep/status/*.json"], "log": ["sweep/*/log.jsonl"]},
         masked=BY_SWEEP, success_changes=("sweep/*",), outputs=("stdout", "sweep/sweep.json", "sweep/*/result.json"),
         changes=("sweep/sweep.json", "sweep/status/*")),
    Form("sweep", "--config settings/plan.json --out sweep --list", (*DATA, "sweep"),
         PLANNED, sees={"status": ["sweep/status/*.json"], "cells": ["sweep/sweep.json"]}, masked=BY_SWEEP),
    Form("sweep", "--config settings/one.json --out new", DATA,
         {**SETTINGS, "image": [STREETS[0]], "label": [STREETS[1]], "plan": ["settings/one.json"], "set": []},
         masked=("seed", "method", "target.labelled", "target.labelled_seed"), out=("--out", "folder"),
         blocks=("new/sweep.json", "new/oracle-all-0/log.jsonl", "new/oracle-all-0/config.json"),
         outputs=("stdout", "new/*/result.json")),
    Form("report", DONE, (*DATA, DONE), {**RUN, **RESULT, **HISTORY}, sees={**KEPT, **LOGGED}, out=("--out", "folder"),
         changes=(f"{DONE}/report/*",), blocks=_under(f"{DONE}/report", PAGE), outputs=_under(f"{DONE}/report", PAGE)),
    Form("report", "sweep", (*DATA, "sweep"),
         {**SCORED, "status": ["sweep/status/*.json"], "history": ["sweep/*/run.json"]},
         sees={"config": RUNS["config"], "picture": ["sweep/*/pictures/*.png"], "log": ["sweep/*/log.jsonl"]},
         out=("--out", "folder"), changes=("sweep/report/*",), blocks=_under("sweep/report", PAGE),
         outputs=_under("sweep/report", PAGE)),
    Form("report", "sweep --out page --title T --without-pictures", (*DATA, "sweep"),
         SCORED, out=("--out", "folder"), outputs=_under("page", PAGE)),
    Form("weights", f"weights/checkpoint.pth --out weights/new.safetensors {SMALL}", ("settings", "weights"),
         {**SETTINGS, "torch": ["weights/checkpoint.pth"], "set": []}, out=("--out", "file"),
         outputs=("stdout", "weights/new.safetensors")),
    Form("weights", f"weights/own.safetensors --out weights/new.safetensors {SMALL}", ("settings", "weights"),
         {**SETTINGS, "tensors": ["weights/own.safetensors"], "set": []}, out=("--out", "file"),
         outputs=("stdout", "weights/new.safetensors")),
    Form("weights", f"weights/mobile.weights.h5 --out weights/new.safetensors {SMALL} --set model.backbone=mobilenetv2",
         ("settings", "weights"), {"h5": ["weights/mobile.weights.h5"]}, outputs=("stdout", "weights/new.safetensors")),
    Form("weights", f"{DONE} --out weights/new.safetensors", (*DATA, DONE, "weights"), {**TRAINED},
         sees={**RESULT, **HISTORY}, out=("--out", "file"), outputs=("stdout", "weights/new.safetensors")),
    Form("to_onnx", f"--run {DONE}", (*DATA, DONE), {**TRAINED}, out=("--out", "file"),
         sees={**RESULT, **HISTORY, "image": [STREETS[0]]}, success_changes=(f"{DONE}/export/model.onnx",),
         blocks=(f"{DONE}/export/model.onnx", f"{DONE}/export/model.unverified.onnx"),
         outputs=("stdout", f"{DONE}/export/model.onnx")),
    Form("to_onnx", f"--run {DONE} --out models/new.onnx --size 32x64 --batch 1 --probabilities",
         (*DATA, DONE, "models"), TRAINED, out=("--out", "file"), outputs=("stdout", "models/new.onnx")),
    Form("to_onnx", f"--run {DONE} --precision int8 --calibrate photographs", (*DATA, DONE, "photographs"),
         RUN, sees={"photo": ["photographs/*"]}, outputs=("stdout", f"{DONE}/export/model_int8.onnx")),
    Form("infer_onnx", "models/model.onnx photographs --out results --outputs labels overlay",
         ("models", "photographs"),
         {"model": ["models/model.onnx"], "photo": ["photographs/*"]}, out=("--out", "folder"),
         blocks=("results/summary.csv", "results/street_labels.png", "results/street_overlay.jpg"),
         outputs=("stdout", "results/summary.csv", "results/*_labels.png", "results/*_overlay.jpg")),
    Form("infer_onnx", f"models/model.onnx {' '.join(TWO)} --out results --tile 32x32 --batch 2",
         ("models", "photographs"), {"model": ["models/model.onnx"], "photo": TWO},
         out=("--out", "folder"), listed=True, outputs=("stdout", "results/summary.csv", "results/*_labels.png")),
]  # fmt: skip
COMMANDS = list(MODULES)


def forms_of(command):
    return [form for form in FORMS if form.command == command]
