"""A small network, and its weights as PyTorch's files have them."""

import functools

import goldens
import numpy as np

from ass_tf.config import schema
from ass_tf.config.backbones import Backbone
from ass_tf.models.generator import build_generator
from ass_tf.weights import initial, torch_files, torch_names

CLASSES = 4


SMALL = Backbone("resnet", {"blocks": (1, 1, 1, 1)})


def build(classes=CLASSES, rates=(6, 12), backbone=SMALL, file=None):
    named = backbone if isinstance(backbone, str) else "resnet50"
    model = schema.Model(backbone=named, rates=rates, weights=file and str(file))
    generator = build_generator(classes, model, backbone=None if named == backbone else backbone)
    initial.load_initial(generator, model)
    return generator


@functools.cache
def small_state():
    """State dict of a small single-level network with the golden weights."""
    generator = build()
    goldens.fill_generator(generator)
    return torch_names.state_of(generator)


def tensors(state):
    return {name: torch_files.Tensor(value.shape, str(value.dtype), lambda v=value: v) for name, value in state.items()}


def take(state, generator=None):
    generator = generator or build()
    ours, others = torch_names.take(generator, torch_names.tidy(tensors(state)))
    return generator, {row.name: row for row in [*ours, *others]}


def assert_holds(generator, state):
    found = torch_names.state_of(generator)
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
