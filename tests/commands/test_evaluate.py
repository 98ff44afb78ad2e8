"""The table of scores that `ass_tf.evaluate` prints."""

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from ass_tf import evaluate, labels

ROOT = Path(__file__).parents[2]


def test_table_shows_classes_then_means_then_accuracy_for_each_snapshot():
    def scores(step, value):
        subset = {"miou": value, "classes": 16, "scored": 16}
        iou = {**dict.fromkeys(labels.class_names("cityscapes19"), value), "train": None}
        return {
            "step": step,
            "images": 500,
            "miou": value,
            "pixel_accuracy": value + 1,
            "iou": iou,
            "subsets": {"synthia16": subset, "data": {**subset, "classes": 19}},
        }

    table = evaluate.table_of({"last": scores(200, 40.126), "best": scores(150, 41.0), "versions": {}})
    assert [column.header for column in table.columns] == ["class", "last, step 200", "best, step 150"]
    rows = list(zip(*(map(str, column.cells) for column in table.columns)))
    assert rows[0] == ("road", "40.13", "41.00")
    assert rows[16] == ("train", "-", "-")
    assert rows[19:] == [
        ("mean of 18 of 19 classes, without train", "40.13", "41.00"),
        ("mean of 16 classes (synthia16)", "40.13", "41.00"),
        ("pixel accuracy", "41.13", "42.00"),
    ]


def test_table_has_one_column_where_the_last_snapshot_is_the_best():
    scores = {"step": 5, "images": 1, "miou": 1.0, "pixel_accuracy": 2.0, "iou": {"a": 1.0}, "subsets": {}}
    table = evaluate.table_of({"last": scores, "best": scores})
    assert [column.header for column in table.columns] == ["class", "last and best, step 5"]


def test_help_does_not_load_tensorflow():
    code = (
        "import sys; from ass_tf import evaluate\n"
        "try: evaluate.main(['--help'])\n"
        "except SystemExit: sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)


def test_class_names_are_no_markup_in_the_table(capsys):
    iou = {"[bold]": 1.0, "[/]": 2.0, ":car:": None}
    scores = {"step": 5, "images": 1, "miou": 1.5, "pixel_accuracy": 2.0, "iou": iou, "subsets": {}}
    Console(width=100).print(evaluate.table_of({"last": scores}))
    out = capsys.readouterr().out
    for text in ("[bold]", "[/]", ":car:", "mean of 2 of 3 classes, without :car:"):
        assert text in out
