"""Damages of JSON files, for `check_inputs`: text that is none, and values that are wrong."""

import copy
import json

from bad_inputs_trial import damage

NEEDED = ("settings", "plan", "config", "state", "classes", "mapping", "section")
JSON = (*NEEDED, "result", "history", "cells", "status", "tables")
REQUIRED = ["method", "source", "target"]
REQUIRED += [
    f"{section}.{key}" for section in ("source", "target", "validation") for key in ("dataset", "root", "size")
]
NAN, ENDLESS = float("nan"), float("inf")
OUT_OF_RANGE = {
    "method": ["xyz", "", "CSA"],
    "classes": [["road"], ["road", "road"], [], "cityscapes20", [1, 2]],
    "source.dataset": ["nuscenes", ""],
    "target.size": [[1, 1], [64], [64, 64, 64], [-32, 64], [32.5, 64]],
    "target.labelled": [-1, "some", 1.5],
    "batch.source": [0, -1],
    "augmentation.scale": [0.5, 99, NAN],
    "augmentation.colour": [-0.1, 1.1, ENDLESS],
    "model.backbone": ["vgg16", "resnet101 "],
    "model.output_stride": [4, 0],
    "model.rates": [[], [0], [-1]],
    "model.weights": ["imagenet", "weights.pth", ""],
    "discriminators.global_width": [0],
    "losses.lambda_seg": [-1, NAN, ENDLESS],
    "optimiser.lr": [0, -1, NAN, ENDLESS],
    "optimiser.momentum": [1, -0.1, NAN],
    "optimiser.decay_steps": [0, 1],
    "optimiser.generator_options": [{"a": 1}],
    "train.steps": [0, -1, 10**30, 10**400],
    "train.precision": ["float64", "int8"],
    "train.log_every": [0, -(10**30)],
    "train.shares_every": [-1],
    "seed": [-1, 2**32, 10**400],
}
HUGE = {  # in range, but more than fits anywhere
    "source.size": [[10**9, 10**9], [32, 10**30]],
    "batch.labelled": [10**12, 10**30],
    "target.labelled_seed": [10**40, -(10**40)],
    "optimiser.decay_steps": [10**12, 10**30],
    "optimiser.lr": [1e300, 1e-300],
    "losses.lambda_seg": [1e308],
    "model.rates": [[10**12], [10**30]],
    "train.checkpoint_every": [10**12, 10**30],
    "train.feature_images": [10**30],
    "train.log_every": [10**30],
    "validation.size": [[10**9, 10**9]],
}
WRONG = {  # kind of a value -> values of other kinds
    bool: ["yes", 1, [], {}],
    int: ["many", 1.5, [], {}, True],
    float: ["much", [], {}, True],
    str: [5, [], {}, True],
    list: ["x", 5, {}, [{}, {}]],
    dict: ["x", 5, [], True],
    type(None): [[], {"a": 1}],
}


def _read(file):
    return json.loads(file.read_text())


def _write(file, content):
    file.write_text(json.dumps(content))
    return []


def leaves(content, above=""):
    """Dotted keys and values of nested objects; an empty object is a value."""
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{above}{key}.")
        else:
            yield above + key, value


def changed(content, key, value):
    """A copy with another value at a dotted key; `...` takes it away."""
    content = copy.deepcopy(content)
    section = content
    *above, last = key.split(".")
    for part in above:
        section = section[part]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return content


@damage("cut short", *JSON)
def _cut(file, draw, _):
    text = file.read_bytes().rstrip()
    file.write_bytes(text[: draw.randrange(1, len(text) - 1)])
    return []


@damage("empty", *JSON)
def _empty(file, *_):
    file.write_bytes(b"")
    return []


@damage("missing", *NEEDED)
@damage("missing", "result", "history", "cells", "status", "tables", certain=None)
def _missing(file, *_):
    file.unlink()
    return []


@damage("other text", *JSON)
def _other(file, draw, _):
    text = file.read_bytes()
    half = text[: len(text) // 2]
    found = {
        "a byte-order mark and half of it": b"\xef\xbb\xbf" + half,
        "UTF-16": text.decode().encode("utf-16"),
        "a key twice": text.replace(b"{", b'{"twin": 1, "twin": 2, ', 1),
        "nested": b"[" * 10_000 + b"]" * 10_000,
        "nested objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        "binary": bytes(draw.randrange(256) for _ in range(500)) + b"\xff",
        "zeros": bytes(len(text)),
        "null": b"null",
        "a number": b"17",
        "a string": b'"settings"',
        "two documents": text + text,
        "a comma too many": text.rstrip().removesuffix(b"}").removesuffix(b"]") + b",}",
        "Latin-1": '{"größe": 1}'.encode("latin-1"),
    }
    name = draw.choice(sorted(found))
    file.write_bytes(found[name])
    return [name]


@damage("a folder in its place", *JSON, "list", "tensors", "torch", "model")
def _folder(file, *_):
    """With a file inside, which must be there afterwards."""
    file.unlink()
    file.mkdir()
    (file / "kept.txt").write_text("of somebody")
    return ["--config"] if file.parent.name == "weights" else []


@damage("base", "settings")
def _base(file, draw, _):
    base = draw.choice(["nothing.json", file.name, "../settings", 5, ["small.json"], "", "n" * 300, "a\0b"])
    _write(file, {**_read(file), "base": base})
    return [f"base={base!r}"[:60], "base", "settings:" if base == "../settings" else str(base)[:50]]


@damage("wrong type", "values")
def _wrong_type(file, draw, trial):
    found = [(k, v) for k, v in leaves(_read(file)) if k not in (*trial.form.masked, "target.labelled")]
    key, value = draw.choice(found)
    other = draw.choice(WRONG[type(value)])
    _write(file, changed(_read(file), key, other))
    return [key.rpartition(".")[2], json.dumps(other)]


@damage("out of range", "values")
def _out_of_range(file, draw, trial):
    key = draw.choice([key for key in OUT_OF_RANGE if key not in trial.form.masked])
    value = draw.choice(OUT_OF_RANGE[key])
    _write(file, changed(_read(file), key, value))
    named = [key.rpartition(".")[2], json.dumps(value)[:40]]
    return [*named, "decay_steps"] if key == "train.steps" else [*named, "steps"] if "decay" in key else named


@damage("huge", "values", certain=False)
def _huge(file, draw, trial):
    key = draw.choice([key for key in HUGE if key not in trial.form.masked])
    value = draw.choice(HUGE[key])
    _write(file, changed(_read(file), key, value))
    return [key.rpartition(".")[2], json.dumps(value)[:40]]


@damage("required key missing", "values")
def _required(file, draw, trial):
    key = draw.choice([key for key in REQUIRED if key not in trial.form.masked])
    _write(file, changed(_read(file), key, ...))
    return [key.rpartition(".")[2]]


@damage("unknown key", "values")
def _unknown(file, draw, _):
    sections = ["", "source.", "target.", "batch.", "model.", "optimiser.", "train."]
    key = draw.choice(sections) + draw.choice(["extra", "lr_", "\u0430lpha", "", "a b", "x" * 500])
    _write(file, changed(_read(file), key, draw.choice([1, None, "x", {}])))
    return [key.rpartition(".")[2][:50], file.name]


@damage("a section of rubbish", "values")
def _rubbish(file, draw, _):
    key = draw.choice(["source", "target", "batch", "model", "optimiser", "train", "losses"])
    _write(
        file, changed(_read(file), key, draw.choice([None, 5, "x", [], [{}], [[[[{"a": [{}]}]]]], {"a": {"b": {}}}]))
    )
    return [key]


@damage("wrong value", "plan")
def _plan(file, draw, _):
    plan = _read(file)
    key, value = draw.choice(
        [("methods", v) for v in ({}, [], None, {"a b": "small.json"}, {"x": 5}, {"x": {"set": {}}}, {"x": "no.json"})]
        + [("labelled", v) for v in ([], [-1], ["some"], 5, None, [1.5], [[]])]
        + [("seeds", v) for v in ([], [-1], ["x"], 0, [2**32], [0.5])]
        + [("set", v) for v in ([], {"train.step": 1}, {"method": "csa"}, {"seed": 5}, {"train": 5}, {"": 1}, {"=": 1})]
        + [("variants", v) for v in ([], {"a/b": {}}, {"a": 5}, {"": {}}, {"a": {"x.y.z": 1}}, {"a": {"seed": 3}})]
        + [("extra", 1), ("method", {})]
    )
    file.write_text(json.dumps({**plan, key: value}))
    last = next(iter(value), "") if isinstance(value, dict) else ""
    return [f"{key}={json.dumps(value)}", key, file.name, "--set", *([str(last).rpartition(".")[2]] if last else [])]


@damage("a list of plans", "plan")
def _plans(file, draw, _):
    plan = _read(file)
    other = {**plan, "set": {"losses.lambda_gd": 2.0}}
    file.write_text(json.dumps(draw.choice([[plan, other], [plan, 5], [[plan]], [plan, None]])))
    return []


@damage("wrong value", "section")
def _section(file, draw, _):
    section = _read(file)
    values = {"dataset": ["nuscenes", 5], "root": ["nowhere", 5, None], "size": [[1, 1], 5], "split": ["night", 5]}
    key = draw.choice([*values, "extra", "labelled"])
    _write(file, {**section, key: draw.choice(values.get(key, [5]))})
    return [key, "nowhere", "night"]


@damage("wrong value", "classes")
def _classes(file, draw, _):
    classes = _read(file)
    name, found = draw.choice(
        [
            ("id -1", {**classes, "-1": "x"}),
            ("id 65536", {**classes, "65536": "x"}),
            ("id 1.5", {**classes, "1.5": "x"}),
            ("Arabic id", {**classes, "\u0663": "x"}),
            ("a number as name", {**classes, "9": 5}),
            ("a list as name", {**classes, "9": ["road"]}),
            ("a list", list(classes.values())),
            ("names that match nothing", {str(i): f"thing {i}" for i in range(6)}),
            ("nothing", {}),
            ("an id of the labels is gone", {k: v for k, v in classes.items() if k != "3"}),
        ]
    )
    _write(file, found)
    return [name, *(["labels/"] if "gone" in name else [])]


@damage("wrong value", "mapping")
def _mapping(file, draw, _):
    value = draw.choice([99, -1, "street", True, 1.5, [], {}, "road "])
    name, found = draw.choice([("unknown key", {"lane": "road"}), ("wrong class", {"way": value}), ("list", ["road"])])
    _write(file, {**_read(file), **found} if isinstance(found, dict) else found)
    return [name]
