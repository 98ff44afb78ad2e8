import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flat_scenes import NAMES, SIZE, settings, write_run, write_scenes, write_settings
from PIL import Image

from ass_tf import config, evaluate
from ass_tf.runs import evaluation
from ass_tf.scoring import pictures
from ass_tf.system import process, storage, terminal

ROOT = Path(__file__).parents[2]


def test_validation_section_of_the_run_is_scored_by_default(tmp_path):
    run = write_settings(tmp_path / "run", settings("data"))
    assert evaluation.settings_of(run).validation.root == "data"


def test_data_words_replace_single_settings_and_keep_the_others(tmp_path):
    run = write_settings(tmp_path / "run", settings("data"))
    section = evaluation.settings_of(run, ["root=elsewhere", "size=[64, 96]"]).validation
    assert (section.root, section.size, section.split) == ("elsewhere", (64, 96), "val")


def test_data_file_replaces_the_whole_section_and_later_words_change_it(tmp_path):
    run = write_settings(tmp_path / "run", settings("data"))
    file = tmp_path / "camvid.json"
    file.write_text(json.dumps({"dataset": "camvid", "root": "camvid", "size": [64, 96]}))
    section = evaluation.settings_of(run, [str(file), "split=test"]).validation
    assert (section.dataset, section.root, section.split) == ("camvid", "camvid", "test")


def test_data_can_name_a_set_where_the_run_has_none(tmp_path):
    run = write_settings(tmp_path / "run", settings("data", validation=None))
    words = ["dataset=cityscapes", "root=data", "size=[32, 64]"]
    assert evaluation.settings_of(run, words).validation.root == "data"


@pytest.mark.parametrize(
    ("validation", "data", "message"),
    [
        (None, [], "has no validation set: name one by --data"),
        ({}, ["rot=x"], "--data: validation.rot is no setting; the nearest is validation.root."),
        ({}, ["size=[1, 2]"], "--data: validation.size"),
        (None, ["root=x"], "--data: validation.dataset must be given."),
        ({}, ["nowhere.json"], "--data must be KEY=VALUE or a JSON file. nowhere.json: No such file"),
        ({}, [__file__], "no valid JSON"),
    ],
)
def test_data_that_cannot_be_used_is_named_in_one_line(tmp_path, validation, data, message):
    changes = {} if validation is not None else {"validation": None}
    run = write_settings(tmp_path / "run", settings("data", **changes))
    with pytest.raises(config.ConfigError) as caught:
        evaluation.settings_of(run, data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folder_that_is_no_run_is_one_line_and_status_2(tmp_path, capsys):
    assert evaluate.main(["--run", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: {tmp_path / 'config.json'}: No such file or directory.\n"


def test_missing_data_folder_is_one_line_and_status_1(tmp_path, capsys):
    run = write_settings(tmp_path / "run", settings(tmp_path / "nowhere"))
    assert evaluate.main(["--run", str(run)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "nowhere" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["--scales", "0"], ["--scales", "nan"], ["--snapshot", "newest"]])
def test_wrong_words_are_refused_before_anything_is_read(tmp_path, capsys, words):
    with pytest.raises(SystemExit) as caught:
        evaluate.main(["--run", str(tmp_path), *words])
    assert caught.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_result_text_has_rows_of_numbers_on_one_line():
    result = {"last": {"miou": 12.5, "iou": {"a": None}, "confusion": [[1, 2], [3, 4]], "text": "[ 1,  2]", "none": []}}
    text = storage.as_json(result)
    assert json.loads(text) == result
    assert "[ 1, 2 ]" in text


def test_progress_is_about_ten_plain_lines_where_stderr_is_no_terminal(capsys):
    with terminal.show_progress("last") as advance:
        for done in range(1, 501):
            advance(done, 500)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "last: 500 of 500 images"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The best snapshot says road everywhere, the last one sky."""
    root = tmp_path_factory.mktemp("data")
    write_scenes(root)
    return write_run(tmp_path_factory.mktemp("run"), settings(root), 0, 2, best=1)


@pytest.fixture(scope="module")
def result(run):
    return evaluation.evaluate_run(run, strips=2)


def test_last_and_best_snapshot_are_both_scored_at_the_labels_own_size(result):
    quarter = 3 * (2 * SIZE[0]) * (2 * SIZE[1]) // 4  # three labels, four bands each, the fourth ignored
    for which, step, train_id in (("best", 1, 0), ("last", 2, 2)):
        scores = result[which]
        expected = np.zeros((3, 3), int)
        expected[:, train_id] = quarter
        assert (scores["step"], scores["images"]) == (step, 3)
        np.testing.assert_array_equal(scores["confusion"], expected)
        # One class has IoU 1 / 3, the others 0; a third of the valid pixels is right.
        assert scores["iou"] == {name: pytest.approx(100 / 3 * (i == train_id)) for i, name in enumerate(NAMES)}
        assert scores["miou"] == pytest.approx(100 / 9)
        assert scores["pixel_accuracy"] == pytest.approx(100 / 3)


def test_result_file_holds_what_was_returned_with_settings_weights_and_versions(run, result):
    assert json.loads((run / "evaluation" / "result.json").read_text()) == json.loads(json.dumps(result))
    assert result["last"]["settings"]["flip"] is False
    assert result["last"]["settings"]["data"]["split"] == "val"
    assert result["initial_weights"] == "random"
    assert set(result["versions"]) == {"ass_tf", "tensorflow", "keras", "numpy"}


def test_single_images_have_a_row_for_each_snapshot_and_the_worst_a_picture(run, result):
    rows = list(csv.DictReader((run / "evaluation/images.csv").read_text().splitlines()))
    assert [row["snapshot"] for row in rows] == ["last"] * 3 + ["best"] * 3
    assert rows[0]["image"] == "town/town_000000_000019"
    assert {key: rows[0][key] for key in ("miou", "road", "sky")} == {"miou": "11.11", "road": "0.00", "sky": "33.33"}
    assert [one["miou"] for one in result["last"]["worst"]] == pytest.approx([100 / 9] * 3)
    sheet = np.asarray(Image.open(run / "evaluation/strips/last_worst.png"))
    assert sheet.shape[0] > 3 * pictures.SHEET_HEIGHT


def test_network_that_says_the_same_of_all_pixels_is_calibrated_by_its_temperature(run, result):
    found = result["last"]["calibration"]
    assert found["pixels"] == 3 * 2048 * 3 / 4  # every second row and column; one of four bands has no class
    (filled,) = (part for part in found["bins"] if part["pixels"])
    assert filled["accuracy"] == pytest.approx(100 / 3)
    assert found["error"] == pytest.approx(abs(filled["confidence"] - 100 / 3))
    assert found["error_with_temperature"] < 2 < found["error"]  # a flat softmax would be right
    assert (run / "evaluation/reliability_last.png").is_file()


def test_strips_show_image_truth_and_prediction_in_cityscapes_colours(run, result):
    files = result["best"]["strips"]
    assert files == ["strips/best.png", *(f"strips/best_town_town_00000{i}_000019.png" for i in (0, 2))]
    picture = np.asarray(Image.open(run / "evaluation" / files[1]))[-SIZE[0] :]
    panels = [picture[:, i * (SIZE[1] + 4) : i * (SIZE[1] + 4) + SIZE[1]] for i in range(3)]
    sky, building, road = (70, 130, 180), (70, 70, 70), (128, 64, 128)
    np.testing.assert_array_equal(panels[0][4, 4], [220] * 3)
    for i, colour in enumerate((sky, building, road, (0, 0, 0))):
        np.testing.assert_array_equal(panels[1][8 * i + 4, 4], colour)
    np.testing.assert_array_equal(panels[2], np.broadcast_to(road, (*SIZE, 3)))
    assert np.asarray(Image.open(run / "evaluation" / files[0])).shape[0] > 2 * pictures.SHEET_HEIGHT


def test_run_that_was_never_validated_has_no_best_scores_and_keeps_what_training_noted(run, tmp_path):
    other = write_run(tmp_path / "run", json.loads((run / "config.json").read_text()), 1)
    (other / "result.json").write_text(json.dumps({"last": {"step": 9}, "best": {"step": 9}, "labelled_images": 7}))
    evaluation.evaluate_run(other, strips=0)
    written = json.loads((other / "evaluation" / "result.json").read_text())
    assert set(written) == {"last", "labelled_images", "initial_weights", "versions"}
    assert written["last"]["step"] == 1
    assert written["labelled_images"] == 7


def test_snapshot_that_is_both_last_and_best_is_scored_once(run, tmp_path):
    both = write_run(tmp_path / "run", json.loads((run / "config.json").read_text()), 1, best=1)
    calls = []

    def progress(name):
        calls.append(name)
        return terminal.show_progress(name)

    result = evaluation.evaluate_run(both, strips=0, progress=progress)
    assert calls == ["last"]
    assert result["best"] == result["last"]
    assert not (both / "strips").exists()


def test_other_data_folder_and_out_folder_leave_the_runs_result_alone(run, result, tmp_path):
    before = (run / "evaluation" / "result.json").read_bytes()
    write_scenes(tmp_path / "other", split="test", count=1)
    words = [f"root={tmp_path / 'other'}", "split=test"]
    other = evaluation.evaluate_run(
        run, snapshot="best", data=words, out=tmp_path / "out", flip=True, scales=(0.5, 1.0)
    )
    assert set(other) == {"best", "initial_weights", "versions"}
    assert other["best"]["images"] == 1
    assert other["best"]["settings"]["scales"] == [0.5, 1.0]
    assert (run / "evaluation" / "result.json").read_bytes() == before
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == json.loads(json.dumps(other))


def test_mean_over_the_datas_classes_leaves_out_classes_that_the_data_cannot_have(tmp_path):
    write_scenes(tmp_path / "data")
    root = tmp_path / "data"
    (root / "classes.json").write_text(json.dumps({"23": "sky", "11": "building", "7": None, "4": None}))
    folder = {"dataset": "folder", "root": str(root), "size": SIZE, "images": "leftImg8bit/val", "labels": "gtFine/val"}
    for label in (root / "gtFine/val/town").iterdir():
        label.rename(label.with_name(label.name.replace("gtFine_labelIds", "leftImg8bit")))
    plain = settings(root, validation=folder)
    result = evaluation.evaluate_run(write_run(tmp_path / "run", plain, 0), strips=0)
    assert result["last"]["subsets"]["data"] == {"miou": 0, "classes": 2, "scored": 2}
    assert result["last"]["iou"]["road"] == 0


def test_run_without_a_snapshot_is_one_line_and_status_1(run, tmp_path, capsys):
    empty = write_settings(tmp_path / "run", json.loads((run / "config.json").read_text()))
    assert evaluate.main(["--run", str(empty)]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {empty}")
    assert err.count("\n") == 1


def test_command_line_prints_the_table_and_writes_result_and_strips(run, tmp_path):
    words = ["--run", str(run), "--strips", "1", "--flip", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "ass_tf.evaluate", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "last, step 2" in done.stdout
    assert "best, step 1" in done.stdout
    assert "11.11" in done.stdout
    assert "Traceback" not in done.stderr
    assert "best: 3 of 3 images" in done.stderr
    assert json.loads((tmp_path / "result.json").read_text())["last"]["settings"]["flip"] is True
    assert len(list((tmp_path / "strips").iterdir())) == 6


def test_best_snapshot_that_is_gone_is_said_and_only_the_last_is_scored(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/snapshots/step-00000001")
    result = evaluation.evaluate_run(tmp_path / "run", strips=0)
    assert "best" not in result
    assert "note: the best snapshot, of step 1, is gone; only the last is scored." in capsys.readouterr().err
    for words in (["--snapshot", "best"], ["--snapshot", "both"]):
        assert evaluate.main(["--run", str(tmp_path / "run"), *words]) == 1
        assert "the best snapshot, of step 1, is gone" in capsys.readouterr().err


def test_out_that_is_a_file_is_refused_before_anything_is_scored(run, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(process, "start_tensorflow", lambda: pytest.fail("the work has begun"))
    for out in ("file", "file/below"):
        assert evaluate.main(["--run", str(run), "--out", str(tmp_path / out)]) == 1
        assert "--out must be a folder." in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_table_is_printed_even_if_the_results_cannot_be_written(run, tmp_path, capsys, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(storage, "write_text", full)
    assert evaluate.main(["--run", str(run), "--strips", "0", "--out", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert "mean of 3 classes" in out
    assert err.splitlines()[-1] == f"error: {tmp_path / 'out/result.json'}: No space left on device."


def test_pictures_of_images_whose_names_differ_in_odd_letters_are_all_kept():
    stems = evaluation._stems(["a/b", "a_b", "街/1", "路/1", "x" * 300])
    assert len(set(stems)) == 5
    assert stems[0] == "a_b"
    assert max(len(stem.encode()) for stem in stems) <= 160
    assert len(set(evaluation._stems(["2_x_y", "x/y", "x_y"]))) == 3


def test_picture_of_an_image_that_is_called_worst_is_not_the_sheet_of_the_worst(tmp_path):
    write_scenes(tmp_path / "data", count=1)
    for path in sorted((tmp_path / "data").rglob("*/val/town/*")):
        path.rename(path.parents[1] / path.name.replace("town_000000_000019", "worst"))
    result = evaluation.evaluate_run(write_run(tmp_path / "run", settings(tmp_path / "data"), 0))
    drawn = tmp_path / "run/evaluation" / result["last"]["strips"][1]
    assert result["last"]["worst"][0]["image"] == "worst"
    assert drawn.is_file()
    assert drawn.name != "last_worst.png"
