"""The page beside an exported model."""

import json
import shutil

import pytest
import small_runs

from ass_tf import config
from ass_tf.export import card, to_onnx
from ass_tf.runs.folder import RunFolder

SCORES = {"miou": 41.5, "pixel_accuracy": 80.25, "iou": {"road": 73.0, "pole": 10.0, "sky": None}}


@pytest.fixture
def run(tmp_path):
    """A finished run without snapshots."""
    settings = small_runs.settings(tmp_path, classes=["road", "pole", "sky"])
    settings["source"]["licence"] = "CC BY | 4.0"
    folder = RunFolder(tmp_path / "my run")
    folder.data.mkdir(parents=True)
    folder.config.write_text(config.dump(config.from_dict(settings)))
    folder.names_of("source").write_text("a\nb\n")
    folder.names_of("labelled").write_text("c\n")
    folder.write_result({"last": {"step": 7, **SCORES}})
    command = ["ass-tf", "train", "--run", "my run"]
    folder.write_sessions({"sessions": [{"command": command}] * 2, "initial_weights_sha256": "abc"})
    return folder.path


def entries(run, step=7):
    return card.description(run, RunFolder(run).settings(), "last", step)


def test_page_says_what_someone_who_gets_the_model_must_know(run):
    page = card.page(run, entries(run), "model.onnx", ["ass-tf", "export", "--run", "my run"])
    lines = page.splitlines()
    assert "| source | gta5 (`gta5`) | 2 | CC BY / 4.0 |" in lines
    assert "| labelled | cityscapes (`cityscapes`) | 1 | not stated |" in lines
    assert [line for line in lines if line.startswith(("| road", "| pole", "| sky", "| **mean**"))] == [
        "| road | 73.00 |",
        "| pole | 10.00 |",
        "| sky | - |",
        "| **mean** | 41.50 |",
    ]
    assert "- It mostly misses pole: their IoU is below 20 %." in lines
    start = lines.index("## Commands")
    assert lines[start:] == [
        "## Commands",
        "",
        "```sh",
        "ass-tf train --run 'my run'",
        "ass-tf export --run 'my run'",
        "```",
    ]
    settings = page[page.index("```json\n") + 8 : page.index("\n```\n\nInitial")]
    assert json.loads(settings)["classes"] == ["road", "pole", "sky"]


def test_snapshot_without_scores_and_smaller_numbers_are_told(run):
    page = card.page(run, {**entries(run, step=5), "precision": "int8"}, "model.onnx", ["x"])
    assert "This snapshot was not scored." in page
    assert "step 5. Precision: int8." in page
    page = card.page(run, {**entries(run), "precision": "int8"}, "model.onnx", ["x"])
    assert "pixels, in float32:" in page


def test_student_of_a_run_that_is_judged_by_its_teacher_has_no_scores(run):
    folder = RunFolder(run)
    settings = folder.settings().model_dump(mode="json")
    settings["self_training"]["weight"] = 0.5
    folder.config.write_text(config.dump(config.from_dict(settings)))
    pages = [
        card.page(run, card.description(run, folder.settings(), "last", 7, network), "model.onnx", ["x"])
        for network in (None, "teacher", "student")
    ]
    assert pages[0] == pages[1]
    assert "| road | 73.00 |" in pages[0]
    assert "73.00" not in pages[2]
    assert "The student was not scored." in pages[2]


def test_export_writes_a_page_for_each_model(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    assert to_onnx.main(["--run", str(tmp_path / "run"), "--precision", "float16"]) == 0
    page = (tmp_path / "run/export/model_float16.card.md").read_text()
    assert page.startswith("# model_float16.onnx\n")
    assert "Precision: float16." in page
    assert page.splitlines()[-2] == f"python -m ass_tf.export.to_onnx --run {tmp_path / 'run'} --precision float16"
