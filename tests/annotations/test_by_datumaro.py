"""Run lengths are looked at before pycocotools decodes them, which trusts them."""

import types

import pytest

from ass_tf.annotations import by_datumaro
from ass_tf.annotations.shapes import Misfit


def packed(runs):
    """Run lengths as pycocotools packs them."""
    letters = ""
    for place, run in enumerate(runs):
        left = run - (runs[place - 2] if place > 2 else 0)
        while True:
            bits, left = left & 31, left >> 5
            done = left == (-1 if bits & 16 else 0)
            letters += chr(48 + bits + (0 if done else 32))
            if done:
                break
    return letters


def stored(counts, size=(40, 60)):
    """A mask of Datumaro's, whose decoded form stands for itself."""
    return types.SimpleNamespace(rle={"counts": counts, "size": list(size)}, image="decoded")


@pytest.mark.parametrize("runs", [[100, 50, 2250], [0, 2400], [2400], [1, 1, 1, 1, 1, 2395]])
def test_run_lengths_that_fill_the_photograph_are_decoded(runs):
    assert by_datumaro._runs(packed(runs)) == runs
    assert by_datumaro._decoded(stored(packed(runs).encode()), (40, 60)) == "decoded"


@pytest.mark.parametrize(
    "counts",
    [
        packed([100, 50, 2249]),
        packed([100, -50, 2350]),
        packed([-100, 50, 2450]),
        packed([100, 50, 2250]) + "P",  # a number goes on, and its end is missing
        packed([100, 50, 2250]) + " ",
        "P" * 100_000,
        "",
    ],
    ids=["sum", "negative", "first negative", "no end", "letter", "long", "empty"],
)
def test_run_lengths_that_do_not_are_refused(counts):
    with pytest.raises(ValueError, match=r"run lengths|number"):
        by_datumaro._decoded(stored(counts), (40, 60))


def test_a_mask_of_another_size_is_refused_before_it_is_decoded():
    """10 GB."""
    with pytest.raises(Misfit):
        by_datumaro._decoded(stored(packed([10**10]), (10**5, 10**5)), (40, 60))
