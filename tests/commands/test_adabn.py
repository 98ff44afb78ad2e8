"""AdaBN: what the running statistics become, and that what is written is a run."""

import json
import shutil

import exports
import keras
import numpy as np
import pytest
import small_runs
from PIL import Image

from ass_tf import adabn, evaluate
from ass_tf.config import schema
from ass_tf.models import batch_norm
from ass_tf.models.generator import build_generator
from ass_tf.runs import claiming, trained
from ass_tf.runs.folder import RunFolder


def build():
    generator = build_generator(5, schema.Model(backbone="tiny", rates=(1,), weights=None))
    return generator, np.random.default_rng(0).uniform(0, 255, (4, 48, 64, 3)).astype("f")


def values_of(generator):
    return {getattr(v, "path", v.name): v.numpy() for v in generator.variables}


def test_statistics_become_the_averages_of_those_of_the_batches():
    generator, images = build()
    inputs = keras.Model(generator.input, generator.get_layer("stem0").output)
    expected = [inputs(images[i : i + 2]).numpy() for i in (0, 2)]
    batch_norm.take_statistics(generator, [images[:2], images[2:]])
    norm = generator.get_layer("stem0_bn")
    np.testing.assert_allclose(norm.moving_mean.numpy(), np.mean([e.mean((0, 1, 2)) for e in expected], 0), atol=1e-4)
    variances = [e.var((0, 1, 2)) for e in expected]  # PyTorch's and Keras 2's are n / (n - 1) as large, n = 1536
    np.testing.assert_allclose(norm.moving_variance.numpy(), np.mean(variances, 0), rtol=1e-3)


def test_nothing_but_the_statistics_changes():
    generator, images = build()
    before, momenta = values_of(generator), [norm.momentum for norm in batch_norm.norms_of(generator)]
    batch_norm.take_statistics(generator, [images])
    changed = {name for name, value in values_of(generator).items() if (value != before[name]).any()}
    assert changed == {name for name in before if "moving_" in name}
    assert [norm.momentum for norm in batch_norm.norms_of(generator)] == momenta


def test_with_its_own_statistics_a_flat_photograph_gets_the_scores_of_a_rich_one():
    generator, images = build()
    flat = 127.5 + 0.5 * (images - 127.5)  # half the contrast about what the network sees as 0
    scores, unadapted = [], []
    for pictures in (images, flat):
        batch_norm.take_statistics(generator, [pictures])
        scores.append(generator(pictures)[1].numpy())
        unadapted.append(generator(images)[1].numpy())
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-4)
    assert np.abs(unadapted[1] - unadapted[0]).max() > 1e-3


@pytest.mark.parametrize("last", [[1], "high", {"miou": "high"}])
def test_odd_scores_of_the_run_are_not_scores(last):
    assert adabn._miou_of(last) is None


def test_what_is_written_is_a_run_and_the_old_one_is_as_it_was(finished, tmp_path, capsys):
    before = small_runs.content(finished)
    out = tmp_path / "adapted"
    assert adabn.main(["--run", str(finished), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert small_runs.content(finished) == before
    result = json.loads((out / "result.json").read_text())
    assert f"not scored before, {result['last']['miou']:.2f} after" in printed
    assert result["statistics"] == {"of": "target", "images": 4}
    assert len((out / "data/statistics.txt").read_text().splitlines()) == 4
    assert RunFolder(out).settings() == RunFolder(finished).settings()
    assert evaluate.main(["--run", str(out), "--strips", "0"]) == 0
    again = json.loads((out / "evaluation/result.json").read_text())
    assert again["last"]["confusion"] == result["last"]["confusion"]
    assert not list(tmp_path.glob(".*"))


def test_statistics_can_be_of_any_folder_of_photographs(finished, tmp_path):
    folder = tmp_path / "photographs/deeper"
    folder.mkdir(parents=True)
    for i, size in enumerate([(90, 50), (31, 200), (64, 64)]):
        Image.effect_noise(size, 90).save(folder / f"{i}.jpg")
    for name, words in {"target": [], "folder": ["--images", str(tmp_path / "photographs"), "--count", "2"]}.items():
        assert adabn.main(["--run", str(finished), "--out", str(tmp_path / name), *words]) == 0
    assert (tmp_path / "folder/data/statistics.txt").read_text() == "deeper/0.jpg\ndeeper/2.jpg\n"
    target, other = (trained.load(tmp_path / name)[1] for name in ("target", "folder"))
    one, two = values_of(target), values_of(other)
    assert {name for name in one if (one[name] != two[name]).any()} == {name for name in one if "moving_" in name}


def test_a_run_with_frozen_statistics_gets_new_ones(scenes, tmp_path):
    model = {"backbone": "tiny", "rates": [1], "weights": None}
    run = exports.finished_run(tmp_path / "run", scenes, model=model)
    frozen = json.loads((run / "config.json").read_text())
    frozen["model"] |= {"batch_norm": "frozen", "weights": "w.safetensors"}
    (run / "config.json").write_text(json.dumps(frozen))
    assert adabn.main(["--run", str(run), "--out", str(tmp_path / "out")]) == 0
    before, after = (values_of(trained.load(folder)[1]) for folder in (run, tmp_path / "out"))
    assert all((after[name] != before[name]).any() for name in before if "moving_" in name)


def test_a_run_whose_validation_images_are_elsewhere_is_adapted_without_a_score(scenes, tmp_path, capsys):
    run = exports.finished_run(tmp_path / "run", scenes)
    settings = json.loads((run / "config.json").read_text())
    settings["validation"]["root"] = "nowhere"
    (run / "config.json").write_text(json.dumps(settings))
    assert adabn.main(["--run", str(run), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "mIoU not scored before, not scored after" in printed.out
    assert "not scored: nowhere: no such folder." in printed.err
    assert RunFolder(tmp_path / "out").state()[1]["step"] == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "{old}"], "--out must name a new folder"),
        (["--images", "{empty}"], "holds no image named"),
        (["--images", "{broken}"], "none of the 1 photographs can be read"),
        (["--images", "{empty}/no"], "no such folder"),
        (["--run", "{empty}"], "config.json"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line_and_nothing_is_left(finished, tmp_path, capsys, words, message):
    places = {name: tmp_path / name for name in ("old", "empty", "broken")}
    for place in places.values():
        place.mkdir()
    (places["broken"] / "a.jpg").write_bytes(b"\xff\xd8")
    given = {"--run": str(finished), "--out": str(tmp_path / "out")}
    given |= {words[0]: words[1].format(**places)}
    assert adabn.main([w for pair in given.items() for w in pair]) != 0
    error = capsys.readouterr().err
    assert message in error
    assert len([line for line in error.splitlines() if line.startswith("error: ")]) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(places)


def test_two_commands_do_not_write_one_run(finished, tmp_path, capsys):
    out = tmp_path / ("n" * 70 + "0")
    other = adabn._unfinished(tmp_path / ("n" * 70 + "1"))
    ours = adabn._unfinished(out)
    settings = RunFolder(finished).settings()
    with claiming.claim(other, settings), claiming.claim(ours, settings):  # as others that are at work
        assert adabn.main(["--run", str(finished), "--out", str(out)]) == 1
        assert capsys.readouterr().err.splitlines()[-1] == f"error: {out}: another process is writing this run."
        assert ours.config.exists()
    with claiming.claim(other, settings):
        assert adabn.main(["--run", str(finished), "--out", str(out)]) == 0  # after a kill of the first
        assert other.config.exists()
    assert not ours.path.exists()


def test_photographs_that_fill_no_batch_are_not_counted(finished, tmp_path):
    settings = json.loads((finished / "config.json").read_text())
    settings["batch"] = {**settings.get("batch", {}), "labelled": 3}
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "config.json").write_text(json.dumps(settings))
    out = tmp_path / "out"
    assert adabn.main(["--run", str(run), "--out", str(out)]) == 0
    assert json.loads((out / "result.json").read_text())["statistics"]["images"] == 3  # of 4
    assert len((out / "data/statistics.txt").read_text().splitlines()) == 3


def test_photograph_that_cannot_be_read_is_named_and_left_out(finished, scenes, tmp_path, capsys):
    folder = tmp_path / "photographs"
    shutil.copytree(scenes / "gta5/images", folder)
    (folder / "00000.jpg").write_bytes(b"\xff\xd8")
    out = tmp_path / "out"
    assert adabn.main(["--run", str(finished), "--out", str(out), "--images", str(folder)]) == 0
    assert f"skipped: {folder / '00000.jpg'}: cannot be decoded" in capsys.readouterr().err
    assert json.loads((out / "run.json").read_text())["statistics"]["images"] == 4
    assert (out / "data/statistics.txt").read_text().split() == [f"0000{i}.png" for i in range(1, 5)]
