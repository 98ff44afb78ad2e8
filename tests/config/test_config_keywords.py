"""Every setting is read somewhere, by its section or by itself."""

import ast
import itertools

import pytest
import small_runs

from ass_tf import datasets
from ass_tf.config import schema
from ass_tf.config.layouts import PHOTOGRAPHS
from street_inference import images

FILES = [path for path in (small_runs.ROOT / "ass_tf").rglob("*.py") if path.name != "reading.py"]
SECTIONS = {
    name: field.annotation
    for name, field in schema.Config.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}


def attributes():
    """Names of all attributes that the package reads, and keys of the roles that it reads by name."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in FILES]
    return {
        node.attr for node in itertools.chain.from_iterable(map(ast.walk, trees)) if isinstance(node, ast.Attribute)
    }


@pytest.mark.parametrize("section", [name for name in SECTIONS if name != "batch"])
def test_every_key_of_a_section_is_read(section):
    assert SECTIONS[section].model_fields.keys() <= attributes()


def test_every_section_and_every_key_outside_a_section_is_read():
    assert schema.Config.model_fields.keys() <= attributes()


def test_section_batch_has_the_roles_of_the_training_dataset():
    assert set(schema.Batch.model_fields) == set(datasets.ROLES) - {"validation"}


def test_photographs_have_the_suffixes_that_inference_reads():
    assert PHOTOGRAPHS == images.SUFFIXES
