import json

import numpy as np
import pytest

from ass_tf import labels
from ass_tf.scoring import metrics

TRUTH = np.array([[0, 0], [1, 2]], np.uint8)
PREDICTION = np.array([[0, 1], [1, 1]], np.uint8)
# Rows are the truth: class 0 has two pixels, one found and one called 1; class 1 has one, found; class 2 has one,
# called 1; class 3 is nowhere.
CONFUSION = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])


def test_confusion_matrix_counts_truth_in_rows_and_prediction_in_columns():
    confusion = metrics.confusion_matrix(TRUTH, PREDICTION, 4)
    assert confusion.dtype == np.int64
    np.testing.assert_array_equal(confusion, CONFUSION)


def test_ignored_pixels_do_not_change_the_confusion_matrix():
    truth = np.pad(TRUTH, 1, constant_values=labels.IGNORE)
    prediction = np.pad(PREDICTION, 1, constant_values=3)
    np.testing.assert_array_equal(metrics.confusion_matrix(truth, prediction, 4), CONFUSION)


def test_label_map_without_a_valid_pixel_counts_nothing():
    truth = np.full((2, 2), labels.IGNORE, np.uint8)
    assert not metrics.confusion_matrix(truth, PREDICTION, 3).any()


def test_confusion_matrix_counts_as_a_plain_loop_does():
    generator = np.random.default_rng(0)
    truth = generator.choice([0, 1, 2, 3, labels.IGNORE], (20, 30)).astype(np.uint8)
    prediction = generator.integers(0, 4, (20, 30))
    expected = np.zeros((4, 4), int)
    for t, p in zip(truth.ravel(), prediction.ravel()):
        if t != labels.IGNORE:
            expected[t, p] += 1
    np.testing.assert_array_equal(metrics.confusion_matrix(truth, prediction, 4), expected)


def test_ids_that_are_no_class_are_refused():
    with pytest.raises(ValueError, match=r"truth must hold train ids below 2. Received: 2\."):
        metrics.confusion_matrix(TRUTH, PREDICTION, 2)
    with pytest.raises(ValueError, match=r"prediction must hold train ids below 3. Received: 255\."):
        metrics.confusion_matrix(TRUTH, PREDICTION * 0 + 255, 3)


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"prediction must have the truth's size \(2, 2\)"):
        metrics.confusion_matrix(TRUTH, PREDICTION[:1], 3)


def test_iou_is_intersection_over_union_in_percent_and_nan_where_a_class_is_nowhere():
    # 0: 1 / (2 + 1 - 1) = 1/2.  1: 1 / (1 + 3 - 1) = 1/3.  2: 0 / (1 + 0 - 0) = 0.  3: 0 / 0.
    np.testing.assert_allclose(metrics.iou_per_class(CONFUSION), [50, 100 / 3, 0, np.nan])


def test_class_that_is_only_predicted_has_iou_zero():
    confusion = metrics.confusion_matrix([[0, 0]], [[0, 1]], 2)
    np.testing.assert_allclose(metrics.iou_per_class(confusion), [50, 0])


def test_mean_iou_leaves_out_classes_that_are_nowhere():
    assert metrics.mean_iou(CONFUSION) == pytest.approx((50 + 100 / 3 + 0) / 3)


def test_mean_over_a_subset_still_counts_the_other_classes_pixels_as_false_positives():
    assert metrics.mean_iou(CONFUSION, [0, 1]) == pytest.approx((50 + 100 / 3) / 2)


def test_pixel_accuracy_is_the_share_of_valid_pixels_found():
    assert metrics.pixel_accuracy(CONFUSION) == 50


def test_scores_of_nothing_are_nan():
    nothing = np.zeros((2, 2), np.int64)
    assert np.isnan(metrics.mean_iou(nothing))
    assert np.isnan(metrics.pixel_accuracy(nothing))


def test_scores_are_json_and_has_none_where_there_is_no_iou():
    scores = metrics.scores_of(CONFUSION, ["a", "b", "c", "d"], {"ab": ["a", "b"], "elsewhere": ["a", "z"]})
    assert json.loads(json.dumps(scores.to_json(), allow_nan=False)) == scores.to_json()
    assert scores.iou["a"] == 50
    assert scores.iou["d"] is None
    assert scores.miou == pytest.approx(250 / 9)
    assert scores.pixel_accuracy == 50
    assert scores.subsets == {"ab": {"miou": pytest.approx(125 / 3), "classes": 2, "scored": 2}}


def test_cityscapes_is_reported_over_19_and_16_and_13_classes():
    names = labels.class_names("cityscapes19")
    confusion = np.eye(19, dtype=np.int64)
    confusion[9, 9], confusion[9, 8] = 0, 1  # terrain, which the 16 lack, is called vegetation
    confusion[4, 4], confusion[4, 2] = 0, 1  # fence, which the 13 lack, is called building
    scores = metrics.scores_of(confusion, names)
    # 15 classes at 100, vegetation and building at 1/2, terrain and fence at 0
    assert scores.miou == pytest.approx(100 * 16 / 19)
    assert scores.subsets["synthia16"] == {"miou": pytest.approx(100 * 14 / 16), "classes": 16, "scored": 16}
    assert scores.subsets["synthia13"] == {"miou": pytest.approx(100 * 12 / 13), "classes": 13, "scored": 13}


def test_subset_with_a_class_that_is_nowhere_says_how_many_classes_were_scored():
    confusion = np.diag([1, 1, 0])
    scores = metrics.scores_of(confusion, ["a", "b", "c"], {"bc": ["b", "c"]})
    assert scores.subsets["bc"] == {"miou": 100.0, "classes": 2, "scored": 1}


def test_all_names_of_another_class_set_leave_no_papers_subset():
    assert metrics.scores_of(np.eye(2, dtype=np.int64), ["a", "b"]).subsets == {}
