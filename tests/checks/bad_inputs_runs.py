"""Damages of what a run has written: scores, records, pictures, features, for `check_inputs`."""

import json

import numpy as np
from bad_inputs_files import RUN_FILES
from bad_inputs_trial import damage
from PIL import Image

RUBBISH = ([], {}, "x", 5, -1, True, None, [[1]], {"x": {"y": []}}, 1e308, "\u0000", float("nan"))


@damage("other content", *RUN_FILES, certain=None)
def _content(file, draw, _):
    """JSON that no run has written: one value, at any depth, is of another kind."""
    content = json.loads(file.read_text())
    if draw.random() < 0.2:
        file.write_text(json.dumps(draw.choice(RUBBISH)))
        return ["all of it"]
    section = content
    while True:
        keys = list(section) if isinstance(section, dict) else list(range(len(section)))
        key = draw.choice(keys)
        if not isinstance(section[key], dict | list) or not section[key] or draw.random() < 0.35:
            break
        section = section[key]
    value = draw.choice([*RUBBISH, ...])
    if value is ... and isinstance(section, dict):
        del section[key]
    else:
        section[key] = None if value is ... else value
    file.write_text(json.dumps(content))
    return [f"{key}={value}"]


@damage("other records", "log", certain=False)
def _records(file, draw, _):
    records = [json.loads(line) for line in file.read_text().splitlines()]
    record = draw.choice([r for r in records if len(r) > 1])
    key = draw.choice(list(record))
    value = draw.choice([*RUBBISH, 10**400])
    record[key] = value
    if draw.random() < 0.3:
        records.append(
            {"step": draw.choice([1, 2, 10**30]), "gradient_shares": draw.choice([{"a": 1.0}, {}, {"a": None}])}
        )
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return [f"{key}={str(value)[:20]}"]


@damage("another picture", "picture", certain=False)
def _picture(file, draw, _):
    size = draw.choice([(1, 1), (300, 5), (64, 32)])
    mode = draw.choice(["RGB", "RGBA", "L", "P", "1", "I;16"])
    Image.new(mode, size, 250 if mode in ("L", "P") else 0).save(file, "PNG")
    return [f"{mode} {size}"]


@damage("other features", "feature", certain=False)
def _features(file, draw, _):
    odd = draw.choice(
        [np.zeros(0), np.ones(3), np.full((19, 8), np.nan), np.ones((2, 8)), np.array(["x"]), np.full((19, 96), np.inf),
         np.ones((19, 8), complex)]
    )  # fmt: skip
    with np.load(file) as found:
        kept = dict(found)
    np.savez(file, **{**kept, draw.choice(["source", "target"]): odd})
    return [f"{odd.dtype} {odd.shape}"]
