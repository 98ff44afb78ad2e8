"""What people have made keeps working: a run folder of commit 63f4988 under this version.

tests/helpers/data/run_63f4988_keras{2,3}.tar.xz hold a folder in which that commit ran `python -m ass_tf.train --config
early.json` and got SIGTERM in step 4 of 6: early.json, scenes/, and runs/early-e4879baf. Keras 2 and 3 cannot read each
other's snapshots, so there is one of each. Most channels of the network are zero, for the file's size.
"""

import json
import shutil
import tarfile

import keras
import pytest
import small_runs

from ass_tf import config, evaluate, report, train
from ass_tf.export import to_onnx
from ass_tf.runs import session
from ass_tf.runs.folder import RunFolder
from ass_tf.weights import __main__ as weights_command

RUN = "runs/early-e4879baf"


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    archive = small_runs.ROOT / f"tests/helpers/data/run_63f4988_keras{keras.__version__.partition('.')[0]}.tar.xz"
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path / RUN


@pytest.mark.slow
def test_the_same_command_finds_the_run_and_goes_on(earlier, capsys):
    settings = config.load("early.json")
    assert session.default_run("early.json", settings) == earlier.relative_to(earlier.parents[1])
    logged = small_runs.log_of(earlier)
    assert train.main(["--config", "early.json"]) == 0
    out = capsys.readouterr().out
    assert f"{RUN}: going on after step 4." in out
    assert "note: train" not in out
    assert small_runs.log_of(earlier)[: len(logged)] == logged
    assert [record["step"] for record in small_runs.log_of(earlier)] == [2, 3, 3, 4, 6, 6, 6]
    result = json.loads((earlier / "result.json").read_text())
    assert result["last"]["step"] == 6
    assert [p.name for p in earlier.parent.iterdir()] == ["early-e4879baf"]
    assert train.main(["--config", "early.json"]) == 0
    assert "finished before; nothing is left to do" in capsys.readouterr().out


def test_it_is_evaluated_exported_and_reported(earlier, capsys):
    assert evaluate.main(["--run", RUN]) == 0
    scored = json.loads((earlier / "evaluation/result.json").read_text())
    trained = json.loads((earlier / "snapshots/step-00000004/state.json").read_text())
    assert (scored["last"]["step"], scored["best"]["step"]) == (4, 3)
    assert scored["best"]["miou"] == pytest.approx(trained["best"]["miou"], abs=1e-4)
    assert to_onnx.main(["--run", RUN]) == 0
    assert (earlier / "export/model.onnx").stat().st_size > 100_000
    assert report.main([RUN]) == 0
    assert "early-e4879baf" in (earlier / "report/index.html").read_text()
    assert weights_command.main([RUN, "--out", "g.safetensors"]) == 0
    assert capsys.readouterr().err.count("error:") == 0


@pytest.mark.slow
def test_it_goes_on_where_its_data_have_moved_and_with_other_records(earlier, capsys):
    shutil.move("scenes/gta5", "moved")
    words = ["source.root=moved", "train.log_every=1", "train.checkpoint_every=1", "train.validate_every=5"]
    assert train.main(["--config", "early.json", "--run", RUN, "--set", *words]) == 0
    out = capsys.readouterr().out
    assert 'note: source.root is "moved" from here on; it was "scenes/gta5".' in out
    assert "note: train.log_every is 1 from here on; it was 2." in out
    assert config.load_record(earlier / "config.json").source.root == "moved"
    session = json.loads((earlier / "run.json").read_text())["sessions"][-1]
    assert session["changed"]["train.log_every"] == [2, 1]


@pytest.mark.slow
def test_it_trains_longer_and_keeps_the_result_that_it_had(earlier):
    assert train.main(["--config", "early.json"]) == 0
    before = (earlier / "result.json").read_bytes()
    assert train.main(["--config", "early.json", "--run", RUN, "--set", "train.steps=8"]) == 0
    assert (earlier / "result-00000006.json").read_bytes() == before
    assert json.loads((earlier / "result.json").read_text())["last"]["step"] == 8


@pytest.mark.slow
def test_run_whose_snapshot_is_damaged_stays_as_it_is_though_settings_change(earlier, capsys):
    assert train.main(["--config", "early.json"]) == 0
    for weights_file in (earlier / "snapshots").glob("*/weights.data*"):
        weights_file.unlink()
    before = small_runs.content(earlier)
    assert train.main(["--config", "early.json", "--run", RUN, "--set", "train.steps=8"]) == 1
    assert "the snapshot cannot be restored" in capsys.readouterr().err
    assert small_runs.content(earlier) == before


def test_settings_that_change_weights_are_refused(earlier, capsys):
    assert train.main(["--config", "early.json", "--run", RUN, "--set", "optimiser.lr=0.02"]) == 1
    assert "optimiser.lr must be 0.01 as in the run begun there" in capsys.readouterr().err


@pytest.mark.slow
def test_finished_run_whose_snapshots_were_deleted_stays_as_it_is(earlier, capsys):
    assert train.main(["--config", "early.json"]) == 0
    shutil.rmtree(earlier / "snapshots")
    before = small_runs.content(earlier)
    assert train.main(["--config", "early.json"]) == 0
    assert "finished before; nothing is left to do" in capsys.readouterr().out
    assert train.main(["--config", "early.json", "--run", RUN, "--set", "train.steps=8"]) == 1
    assert "its snapshots are gone, so that it cannot train longer" in capsys.readouterr().err
    assert RunFolder(earlier).snapshots() == {}
    assert small_runs.content(earlier) == before


@pytest.mark.slow
def test_another_validation_is_told_and_its_best_score_is_chosen_anew(earlier, capsys):
    state = json.loads((earlier / "snapshots/step-00000004/state.json").read_text())
    state["best"]["miou"] = 99.0
    (earlier / "snapshots/step-00000004/state.json").write_text(json.dumps(state))
    words = ["validation.size=[64, 64]"]
    assert train.main(["--config", "early.json", "--run", RUN, "--set", *words]) == 0
    out = capsys.readouterr().out
    assert "note: validation.size is [64, 64] from here on; it was [32, 64]." in out
    assert "note: the validation is another, so that the best snapshot is chosen again." in out
    result = json.loads((earlier / "result.json").read_text())
    assert result["best"]["step"] == result["last"]["step"] == 6


def test_broken_record_of_sessions_is_named_before_anything_is_changed(earlier, capsys):
    (earlier / "run.json").write_text("{")
    before = small_runs.content(earlier)
    assert train.main(["--config", "early.json", "--run", RUN, "--set", "train.log_every=1"]) == 1
    assert f"error: {RUN}/run.json: no valid JSON" in capsys.readouterr().err
    assert small_runs.content(earlier) == before
