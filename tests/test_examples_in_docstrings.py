"""Examples in docstrings do what they say."""

import doctest
import importlib

import pytest

MODULES = (
    "ass_tf.config.reading",
    "ass_tf.datasets.roles",
    "ass_tf.labels",
    "ass_tf.methods.losses",
    "ass_tf.scoring.metrics",
    "ass_tf.scoring.pictures",
)


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module_hold(module):
    failed, attempted = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert attempted
    assert not failed
