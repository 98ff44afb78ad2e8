"""The reliability diagram shows what it is given."""

import numpy as np

from ass_tf.scoring import calibration, diagram


def drawn(accuracy, count):
    accuracy = np.asarray(accuracy, float)
    found = calibration.Reliability(np.asarray(count), accuracy, accuracy)
    return diagram.draw(found, ["calibration error 1.0 %"])


def test_bars_are_as_high_as_the_share_of_right_pixels():
    accuracy = np.linspace(0.1, 1.0, 10)
    picture = drawn(accuracy, np.ones(10, int))
    blue = (picture == diagram.BAR).all(-1)
    for k, value in enumerate(accuracy):
        column = diagram.MARGIN + round(diagram.SIDE * (k + 0.5) / 10)
        height = blue[:, column].sum()
        assert abs(height - diagram.SIDE * value) < 12  # the diagonal and the frame hide some


def test_empty_bins_have_no_bar_and_the_fullest_bin_is_the_highest_below():
    picture = drawn([0.5] * 4, [0, 10, 40, 20])
    grey = (picture == diagram.SHARE).all(-1)
    heights = [grey[:, diagram.MARGIN + diagram.SIDE * (2 * k + 1) // 8].sum() for k in range(4)]
    assert heights[0] == 0
    assert heights[2] > heights[3] > heights[1] > 0
    assert not (picture[:, diagram.MARGIN + diagram.SIDE // 8] == diagram.BAR).all(-1).any()
