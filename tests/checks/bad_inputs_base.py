"""The sound folder that `check_inputs` damages: data, settings, runs, a sweep, a model, weights and photographs.

Everything is named relative to it, as a user in that folder would.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import odd_files
import small_runs
from bad_inputs_worker import run_here
from PIL import Image

NAMES = {0: "void", 1: "way", 2: "building", 3: "sky", 4: "person", 5: "car"}
MAPPING = {"way": "road", "void": None, "person": 11}
FOLDER = {
    "dataset": "folder",
    "root": "data/folder",
    "size": [32, 64],
    "class_file": "../data/folder/classes.json",
    "mapping": "../lists/mapping.json",
    "list": "../lists/images.txt",
}
PLAN = {
    "methods": {"oracle": {"file": "small.json", "set": {"method": "oracle"}}, "joint": "small.json"},
    "labelled": ["all"],
    "seeds": [0],
    "set": {"train.feature_images": 0},
    "variants": {"plain": {"losses.lambda_seg": 1.0}},
}
TRAIN = {"steps": 2, "validate_every": 2, "checkpoint_every": 1, "log_every": 1, "shares_every": 0, "feature_images": 2}
PHOTOGRAPHS = {"street.jpg": "plain.jpg", "yard.png": "plain.png", "lane.bmp": "plain.bmp"}
MADE = [  # what makes the rest, in order
    ("train", "--config settings/small.json --run runs/done"),
    ("evaluate", "--run runs/done"),
    ("report", "runs/done"),
    ("to_onnx", "--run runs/done"),
    ("weights", "runs/done --out weights/own.safetensors"),
    ("sweep", "--config settings/plan.json --out sweep"),
    ("report", "sweep"),
]


def make(place, tell=print):
    """Makes the folder `place`/work.

    Raises:
        RuntimeError: a command fails, so that nothing can be said of bad inputs.
    """
    root = place / "work"
    root.mkdir(parents=True)
    small_runs.draw_scenes(root / "data")
    _write_folder(root)
    _write_settings(root)
    (root / "photographs").mkdir()
    (root / "weights").mkdir()
    for name, kind in PHOTOGRAPHS.items():
        (root / "photographs" / name).write_bytes(odd_files.sound_files(0)[kind])
    for command, words in MADE:
        outcome = run_here(command, words.split(), place)
        if outcome.status:
            raise RuntimeError(f"{command} {words}: status {outcome.status}\n{outcome.stderr}{outcome.raised}")
        tell(f"base: {command} {words}: {outcome.seconds:.1f} s")
    for run in (root / "sweep").glob("*-*"):
        shutil.rmtree(run / "tensorboard")
    _write_weights(root)
    _write_other_model(root / "models/other.onnx")
    shutil.copy(root / "runs/done/export/model.onnx", root / "models/model.onnx")


def _write_folder(root, count=3, size=(64, 128)):
    """A data set of the user's own, with classes.json, a mapping and list files."""
    top, lists = root / "data/folder", root / "lists"
    for folder in (top / "images", top / "labels", lists):
        folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(odd_files.photograph(size, i)).save(top / f"images/view{i}.png")
        coarse = rng.permutation(np.arange(32) % len(NAMES)).astype("u1").reshape(4, 8)
        Image.fromarray(np.kron(coarse, np.ones((size[0] // 4, size[1] // 8), "u1"))).save(top / f"labels/view{i}.png")
    (top / "classes.json").write_text(json.dumps({str(key): name for key, name in NAMES.items()}))
    (lists / "mapping.json").write_text(json.dumps(MAPPING))
    for name in ("images", "labelled"):
        (lists / f"{name}.txt").write_text("".join(f"view{i}\n" for i in range(count)))


def _write_settings(root):
    """Settings of all keys, those that change them by a base, a sweep's file, and a validation section alone."""
    from ass_tf import config

    (root / "settings").mkdir()
    small = small_runs.settings(Path("data"), method="joint", train=TRAIN)
    small["target"].pop("labelled")
    (root / "settings/small.json").write_text(config.dump(config.from_dict(small)))
    folder = {
        "base": "small.json",
        "method": "oracle",
        "target": {**FOLDER, "labelled_list": "../lists/labelled.txt"},
        "validation": FOLDER,
    }
    (root / "settings/folder.json").write_text(json.dumps(folder, indent=1))
    (root / "settings/plan.json").write_text(json.dumps(PLAN, indent=1))
    one = {"methods": {"oracle": PLAN["methods"]["oracle"]}, "labelled": ["all"]}
    (root / "settings/one.json").write_text(json.dumps(one, indent=1))
    section = {"dataset": "cityscapes", "root": "data/cityscapes", "size": [32, 64], "split": "val"}
    (root / "settings/data.json").write_text(json.dumps(section))


def _write_weights(root):
    """The run's own weights as PyTorch has them, and a file of `keras.applications`."""
    import keras
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(root / "weights/own.safetensors"), root / "weights/checkpoint.pth")
    network = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(None, None, 3))
    network.save_weights(root / "weights/mobile.weights.h5")


def _write_other_model(file):
    """An ONNX model that is none of `to_onnx`'s."""
    import onnx
    from onnx import TensorProto, helper

    file.parent.mkdir()
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, file)
