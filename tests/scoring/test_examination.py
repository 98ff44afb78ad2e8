"""Rows of single images, and the worst of them."""

import numpy as np

from ass_tf import labels
from ass_tf.scoring import examination, metrics, predictions

NAMES = ("road", "sky")


def judged(name, right):
    """An image of which so many of four columns are right."""
    truth = np.array([[0, 0, 1, 1]] * 4, np.uint8)
    prediction = truth.copy()
    prediction[:, right:] = 1 - truth[:, right:]
    logits = np.eye(2, dtype=np.float32)[prediction]
    confusion = metrics.confusion_matrix(truth, prediction, 2)
    return predictions.Judged(name, np.zeros((4, 4, 3), np.uint8), truth, prediction, confusion, logits)


def examined(*rights, worst=2):
    found = examination.Examination(NAMES, len(rights), worst)
    for number, right in enumerate(rights):
        found.add(judged(f"image{number}", right))
    return found


def test_the_worst_come_first_and_of_equals_the_earlier():
    found = [(round(miou, 1), one.name) for miou, one in examined(4, 1, 3, 1, 2).worst()]
    assert [name for _, name in found] == ["image1", "image3"]
    assert found[0][0] == found[1][0]
    assert list(examined(1, 2, worst=0).worst()) == []


def test_table_has_what_metrics_say_of_each_image():
    lines = examination.table_of({"last": examined(4, 3)}).splitlines()
    assert lines[0] == "snapshot,image,miou,pixel_accuracy,road,sky"
    assert lines[1] == "last,image0,100.00,100.00,100.00,100.00"
    assert lines[2] == "last,image1,58.33,75.00,66.67,50.00"


def test_image_without_a_valid_pixel_has_empty_cells_and_is_none_of_the_worst(tmp_path):
    found = examination.Examination(NAMES, 1, 8)
    truth = np.full((4, 4), labels.IGNORE, np.uint8)
    nothing = np.zeros((2, 2), np.int64)
    logits = np.zeros((4, 4, 2), np.float32)
    found.add(predictions.Judged("a", np.zeros((4, 4, 3), np.uint8), truth, truth, nothing, logits))
    assert found.rows == [["a", "", "", "", ""]]
    assert found.write(tmp_path, "last") == {"worst": [], "calibration": None}
    assert list(tmp_path.iterdir()) == []
