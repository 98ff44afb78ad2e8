"""The demo as a user starts it, on few scenes and for a few steps."""

import subprocess
import sys

import pytest
import small_runs
from PIL import Image

from ass_tf import config, demo
from ass_tf.system import storage

SMALL = [
    *(f"{domain}.size=[32, 64]" for domain in ("source", "target", "validation")),
    *("batch.source=1", "batch.labelled=1", "target.labelled=2", "model.rates=[1]", "train.steps=4"),
    *("train.validate_every=4", "train.checkpoint_every=4", "train.log_every=2", "discriminators.semantic_width=16"),
]


@pytest.mark.slow
def test_the_demo_trains_scores_exports_and_infers(tmp_path):
    words = ["--out", tmp_path, "--seed", 3, "--scenes", 10, "--set", *SMALL]
    done = subprocess.run(
        [sys.executable, "-m", "ass_tf.demo", *map(str, words)], cwd=small_runs.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / "seed-3-scenes-10"
    assert "10 game and 5 + 2 camera scenes" in done.stdout
    scores = {m: storage.read_json(out / m / "result.json")["last"]["miou"] for m in demo.CONTENDERS}
    assert demo.summary(scores, 2) in done.stdout
    assert all(f"{score:.2f}" in done.stdout for score in scores.values())
    for name, contender in demo.CONTENDERS.items():
        settings = config.load_record(out / name / "config.json")
        assert (settings.method, settings.seed, settings.train.steps) == (contender.method, 3, 4)
        assert settings.self_trains is (name == demo.BEST)
    with Image.open(out / "comparison.png") as comparison:
        assert comparison.width > 5 * 64
    overlays = list((out / "new").glob("*overlay*"))
    assert len(overlays) == len(list((out / "data/new/leftImg8bit").rglob("*.png"))) == 6


def test_gains_are_told_over_the_oracle_and_an_undefined_score_is_shown_as_a_dash():
    lines = demo.summary({"oracle": None, "csa": 12.3456, "better": 3.0}, 60).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["-", "12.35", "3.00"]
    lines = demo.summary({"oracle": 20.0, "csa": 12.3456, "better": 25.0}, 60).splitlines()
    assert [line.split()[-2:] for line in lines[2:]] == [["12.35", "-7.65"], ["25.00", "+5.00"]]


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--set", "train.step=4"], 2, "train.step is no setting"),
        (["--images", "nowhere"], 1, "--images must be a folder or a file"),
        (["--out", "file/out"], 2, "--out must be a folder"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_drawn(tmp_path, monkeypatch, capsys, words, status, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert demo.main(words) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert text in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
