"""Small runs on drawn scenes, and what is compared between them; shared by tests and checks."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from ass_tf import streets
from ass_tf.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]
MEASURED = ("images_per_second", "waiting_share", "memory_mb")  # what differs between equal runs
LOSSES = {  # those that move G
    *(f"segmentation_loss_{role}" for role in ("source", "labelled")),
    "global_adversarial_loss",
    "csa_adversarial_loss",
}
MEASURES = {  # of the discriminators
    *(f"global_discriminator_{m}_{role}" for m in ("loss", "accuracy") for role in ("source", "unlabelled")),
    *(f"csa_discriminator_{m}_{role}" for m in ("loss", "accuracy") for role in ("source", "labelled")),
}


def draw_scenes(root, size=(64, 128), count=4):
    """Drawn data for `settings`: `count` game images, as many camera images, and half as many to validate on."""
    streets.write_gta5(root / "gta5", count, 0, size)
    streets.write_cityscapes(root / "cityscapes", {"train": count, "val": count // 2}, 1, size)
    return root


def settings(scenes, **changes):
    domain = {"size": [32, 64], "root": str(scenes / "cityscapes"), "dataset": "cityscapes"}
    return {
        "method": "csa",
        "source": {**domain, "root": str(scenes / "gta5"), "dataset": "gta5"},
        "target": {**domain, "labelled": 2},
        "validation": {**domain, "split": "val"},
        "augmentation": {"flip": True, "scale": 1.5, "colour": 0.5},
        "model": {"backbone": "tiny", "rates": [1], "weights": None},
        "discriminators": {"global_width": 8, "semantic_width": 16},
        "optimiser": {"lr": 0.01, "head_multiplier": 1.0, "decay_steps": 100},
        "train": {"steps": 14, "validate_every": 8, "checkpoint_every": 4, "log_every": 3, "shares_every": 7},
        "seed": 5,
        **changes,
    }


def prepare_check(root, train, **scenes):
    """Scenes, a cache and a settings file in a folder, for a check's own processes; returns the file."""
    os.environ["XDG_CACHE_HOME"] = str(root / "cache")
    draw_scenes(root, **scenes)
    file = root / "small.json"
    file.write_text(json.dumps({**settings(root), "optimiser": {"decay_steps": 1000}, "train": train}))
    return file


def start(file, run):
    """The command as a user types it."""
    words = [sys.executable, "-m", "ass_tf.train", "--config", str(file), "--run", str(run)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            pytest.fail(f"the run ended too early or hangs: {process.communicate(timeout=9)}")
        time.sleep(0.005)


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def log_of(run):
    """Records of log.jsonl without what is measured by the clock."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key not in MEASURED} for record in records]


def tensors(folder):
    reader = tf.train.load_checkpoint(str(folder / "weights"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def assert_identical(run, other):
    """Two runs have the same snapshots bit by bit, the same log and the same results."""
    assert list(RunFolder(run).snapshots()) == list(RunFolder(other).snapshots())
    for folder, expected in zip(RunFolder(run).snapshots().values(), RunFolder(other).snapshots().values()):
        found, expected = tensors(folder), tensors(expected)
        assert found.keys() == expected.keys()
        assert [name for name in found if found[name].tobytes() != expected[name].tobytes()] == []
    assert log_of(run) == log_of(other)
    for name in ("config.json", "result.json", *(f"data/{p.name}" for p in (other / "data").iterdir())):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
