"""Heads of files whose branches have other dilations, and what the file says of them."""

import json

import numpy as np
import pytest
from small_networks import CLASSES, build, small_state

from ass_tf.config import schema
from ass_tf.models.generator import build_generator
from ass_tf.weights import initial, torch_files, torch_names


def test_a_head_of_other_rates_is_refused(tmp_path):
    torch_files.save(tmp_path / "w.safetensors", small_state(), {"rates": "[6, 12]"})
    with pytest.raises(ValueError, match=r"holds a head of rates \[6, 12\].* Received: \[6, 24\]"):
        build(rates=(6, 24), file=tmp_path / "w.safetensors")
    build(classes=7, rates=(6, 24), file=tmp_path / "w.safetensors")  # its head is not taken


def test_the_deeplabv3plus_head_survives_the_round_trip_and_is_refused_at_other_rates(tmp_path):
    file = tmp_path / "w.safetensors"

    def built(rates, weights=None, classes=CLASSES):
        model = schema.Model(
            backbone="tiny", head="deeplabv3plus", head_width=16, rates=rates, weights=weights and str(weights)
        )
        generator = build_generator(classes, model)
        initial.load_initial(generator, model)
        return generator

    first = built((2, 6, 12))
    rates = torch_names.rates_of(first)
    assert rates == [2, 6, 12]
    torch_files.save(file, torch_names.state_of(first), {"rates": json.dumps(rates)})
    for ours, theirs in zip(built((2, 6, 12), file).get_weights(), first.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    for classes in (CLASSES, 7):  # the branches come before the classes
        with pytest.raises(ValueError, match=r"w\.safetensors: holds a head of rates \[2, 6, 12\]"):
            built((2, 6, 18), file, classes)
    build(backbone="tiny", rates=(1, 2), file=file)  # another head, which takes nothing of this one


@pytest.mark.parametrize("rates", ["[", "[" * 10000, ""])
def test_damaged_metadata_are_told(tmp_path, rates):
    torch_files.save(tmp_path / "w.safetensors", small_state(), {"rates": rates})
    with pytest.raises(ValueError, match=r"w\.safetensors: its metadata are damaged: rates must be a list"):
        build(file=tmp_path / "w.safetensors")
