"""Which pixels a shape has, and which of two shapes lies above."""

import collections
import tracemalloc

import numpy as np
import pytest
import tool_files

from ass_tf.annotations.painting import inside, paint
from ass_tf.annotations.shapes import BROKEN, EMPTY, MISFIT, Shape, circle, outline

IDS = {"a": 0, "b": 1, None: 255}


def shape(name, points, layer=0):
    return Shape(name, "polygons", (np.array(points, float),), layer=layer)


def square(left, top, side):
    return [(left, top), (left + side, top), (left + side, top + side), (left, top + side)]


def test_pixels_are_those_whose_centre_is_inside():
    """A triangle of 3 x 3 pixels: (x + 0.5) + (y + 0.5) < 3 for the centres of three, and the edge x + y = 3 itself."""
    assert inside(np.array([(0.0, 0.0), (3.01, 0.0), (0.0, 3.01)]), 3, 3).astype(int).tolist() == [
        [1, 1, 1],
        [1, 1, 0],
        [1, 0, 0],
    ]
    assert inside(np.array([(0.0, 0.0), (2.99, 0.0), (0.0, 2.99)]), 3, 3).astype(int).tolist() == [
        [1, 1, 0],
        [1, 0, 0],
        [0, 0, 0],
    ]


def test_neighbours_share_no_pixel_and_leave_none():
    """Two halves of a square whose common edge goes through centres."""
    left, right = [(0, 0), (2.5, 0), (2.5, 5), (0, 5)], [(2.5, 0), (5, 0), (5, 5), (2.5, 5)]
    both = sum(inside(np.array(points, float), 5, 5).astype(int) for points in (left, right))
    assert (both == 1).all()


@pytest.mark.parametrize("ends", [[(0.7, 0.9), (16.0, 18.0)], [(1 / 3, 0), (11 / 3, 10)], [(9.2, 11.6), (0.1, 0.2)]])
def test_neighbours_agree_on_their_edge_whichever_way_and_wherever_each_is_drawn(ends):
    """The edge goes through centres, or close to some: its pixels are found with one rounding."""
    y0, y1 = (y for _, y in ends)
    shapes = [shape("a", [*ends, (-5, y1), (-5, y0)]), shape("b", [*ends[::-1], (30, y0), (30, y1)])]
    (left,), (right,) = ([paint([one], (20, 20), IDS)[0] != 255] for one in shapes)
    rows = (np.arange(20) + 0.5 >= min(y0, y1)) & (np.arange(20) + 0.5 < max(y0, y1))
    assert (left.astype(int) + right == rows[:, None]).all()


@pytest.mark.parametrize("seed", range(20))
def test_random_polygons_are_those_of_pillow(seed):
    """They leave the picture and cross themselves; centres within a fifth of a pixel of an edge are left out."""
    random = np.random.default_rng(seed)
    points = random.uniform(-10, 50, (random.integers(3, 8), 2))
    expected, clear = tool_files.drawn([("a", [tuple(point) for point in points])], (30, 40))
    assert ((inside(points, 30, 40) == (expected == "a"))[clear]).all()


def test_a_hole_by_crossing_stays_open():
    """Even-odd: a five-pointed star's middle belongs to nothing."""
    angles = np.arange(5) * 4 * np.pi / 5
    star = 10 + 9 * np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    mask = inside(star, 20, 20)
    assert not mask[9:11, 9:11].any()
    assert mask.sum() > 50


def test_a_circle_has_its_area():
    mask = inside(circle(np.array([50.0, 50.0]), np.array([90.0, 50.0])), 100, 100)
    assert mask.sum() == pytest.approx(np.pi * 40**2, rel=0.005)


def test_the_smaller_shape_lies_above_whatever_their_order():
    small, large = shape("a", square(2, 2, 3)), shape("b", square(0, 0, 8))
    for shapes in ([small, large], [large, small]):
        label, painted = paint(shapes, (10, 10), IDS)
        assert [(label == n).sum() for n in (0, 1, 255)] == [9, 55, 36]
        assert painted == shapes


def test_the_later_lies_above_where_areas_do_not_count():
    shapes = [shape("a", square(2, 2, 3)), shape("b", square(0, 0, 8))]
    label, _ = paint(shapes, (10, 10), IDS, by_area=False)
    assert [(label == n).sum() for n in (0, 1)] == [0, 64]


@pytest.mark.parametrize("by_area", [True, False])
def test_the_higher_layer_lies_above_first_of_all(by_area):
    shapes = [shape("b", square(0, 0, 8), layer=1), shape("a", square(2, 2, 3))]
    label, _ = paint(shapes, (10, 10), IDS, by_area=by_area)
    assert [(label == n).sum() for n in (0, 1)] == [0, 64]


def test_equal_areas_lie_in_the_order_of_the_file():
    shapes = [shape("a", square(0, 0, 4)), shape("b", square(2, 0, 4))]
    label, _ = paint(shapes, (4, 6), IDS)
    assert label[0].tolist() == [0, 0, 1, 1, 1, 1]


def test_shapes_to_ignore_and_uncovered_pixels_may_differ():
    label, _ = paint([shape(None, square(0, 0, 1)), shape("a", square(1, 0, 1))], (1, 3), IDS, uncovered=1)
    assert label.tolist() == [[255, 0, 1]]


def test_hundreds_of_large_shapes_take_no_more_memory_than_one():
    """150 masks of 500 x 1000 pixels would take 75 MB."""
    shapes = [shape("a", [(0, 0), (1000, 0), (1000, 500 - n / 10), (0, 500)]) for n in range(150)]
    tracemalloc.start()
    paint(shapes, (500, 1000), IDS)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20e6


def test_what_has_no_pixel_is_counted():
    lost = collections.Counter()

    def broken(size):
        raise OSError("cut off")

    shapes = [
        shape("a", square(20, 20, 4)),  # outside
        shape("a", [(1, 1), (5, 1), (9, 1)]),  # flat
        Shape("a", "masks", mask=lambda size: np.ones((2, 2))),
        Shape("a", "masks", mask=lambda size: np.zeros(size)),
        Shape("a", "masks", mask=broken),
        shape("b", square(-2, -2, 3)),
    ]
    label, painted = paint(shapes, (10, 10), IDS, lost=lost)
    assert dict(lost) == {EMPTY: 3, MISFIT: 1, BROKEN: 1}
    assert painted == shapes[-1:]
    assert (label == 1).sum() == 1


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300])
def test_coordinates_beyond_reason_are_refused(number):
    with pytest.raises(ValueError, match="must be a number from -10000000 to 10000000"):
        outline([1.0, 2.0, number, 3.0])
