"""The least that a settings file must say, and how tests change it."""

import json
import subprocess
import sys

import pytest
import small_runs

from ass_tf import config
from ass_tf.config import ConfigError

LEAST = {
    "method": "csa",
    "source": {"dataset": "gta5", "root": "data/gta5", "size": [64, 128]},
    "target": {"dataset": "cityscapes", "root": "data/cityscapes", "size": [32, 64]},
}


def write(path, settings):
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def changed(key, value):
    """LEAST with one setting, given by its dotted name, replaced."""
    settings = json.loads(json.dumps(LEAST))
    *sections, name = key.split(".")
    section = settings
    for part in sections:
        section = section.setdefault(part, {})
    section[name] = value
    return settings


def refusal(key, value):
    """The one line that refuses LEAST with this change."""
    with pytest.raises(ConfigError) as caught:
        config.from_dict(changed(key, value))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def run(*words):
    command = [sys.executable, "-m", "ass_tf.config", *map(str, words)]
    return subprocess.run(command, cwd=small_runs.ROOT, capture_output=True, text=True, check=False)


def with_adamw(**more):
    return {**LEAST, "optimiser": {"generator": "AdamW", "generator_options": {"weight_decay": 0.1}, **more}}
