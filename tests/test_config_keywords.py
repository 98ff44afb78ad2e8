"""A section of the settings is the keyword list of the builder that takes it, and every key is read."""

import ast
import inspect
import itertools
from pathlib import Path

from ass_tf import datasets
from ass_tf.config import schema
from ass_tf.datasets import pipeline
from ass_tf.methods import adversary
from ass_tf.models import deeplab

ROOT = Path(__file__).parents[1]
SECTIONS = ("batch", "augmentation", "model", "discriminators", "losses", "optimiser", "train")


def keywords(function):
    return {name for name, p in inspect.signature(function).parameters.items() if p.kind == p.KEYWORD_ONLY}


def fields(section):
    return set(section.model_fields)


def test_section_source_is_the_keyword_list_of_open_domain():
    assert fields(schema.Domain) == keywords(datasets.open_domain) - {"require_labels"}


def test_further_keys_of_section_target_are_the_keyword_list_of_labelled_subset():
    parameters = set(inspect.signature(datasets.labelled_subset).parameters)
    assert fields(schema.Target) - fields(schema.Domain) == parameters - {"domain"}


def test_section_batch_has_the_roles_of_the_training_dataset():
    assert fields(schema.Batch) == set(datasets.ROLES) - {"validation"}


def test_section_augmentation_is_the_keyword_list_of_batches():
    own = {"batch", "seed", "stream", "start_step", "with_labels"}
    assert fields(schema.Augmentation) == keywords(pipeline.batches) - own


def test_section_model_is_the_keyword_list_of_build_generator():
    assert fields(schema.Model) == keywords(deeplab.build_generator) - {"synchronised"}


def test_section_discriminators_is_the_keyword_list_of_build_networks():
    assert fields(schema.Discriminators) == keywords(adversary.build_networks)


def test_section_losses_is_the_keyword_list_of_the_game():
    assert fields(schema.Losses) == keywords(adversary.Game.__init__)


def test_section_optimiser_is_the_keyword_list_of_build_optimisers():
    assert fields(schema.Optimiser) == keywords(adversary.build_optimisers)


def read_settings(*files):
    """The last two names of every attribute in source files: `config.train.steps` gives "train.steps"."""
    trees = [ast.parse((ROOT / "ass_tf" / file).read_text()) for file in files]
    for node in itertools.chain.from_iterable(map(ast.walk, trees)):
        if isinstance(node, ast.Attribute):
            inner = node.value
            if isinstance(inner, ast.Name):
                yield f"{inner.id}.{node.attr}"
            elif isinstance(inner, ast.Attribute):
                yield f"{inner.attr}.{node.attr}"


def test_every_key_of_section_train_is_read_by_the_loop():
    read = set(read_settings("train.py", "session.py"))
    assert {f"train.{key}" for key in schema.Train.model_fields} <= read


def test_every_section_and_every_key_outside_a_section_is_read_by_the_trainer_or_a_property():
    read = set(read_settings("train.py", "session.py")) | set(read_settings("schema.py"))
    for key in schema.Config.model_fields:
        assert {f"config.{key}", f"self.{key}"} & read, key
