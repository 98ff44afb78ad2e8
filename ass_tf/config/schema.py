"""Every setting, and what fits together and what does not.

Sections are frozen values, which the code hands on whole. Reading files is `reading`'s part.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ass_tf import labels
from ass_tf.config.backbones import BACKBONES
from ass_tf.config.methods import METHODS, Method
from ass_tf.config.sections import (
    Augmentation,
    Batch,
    Discriminators,
    Domain,
    Losses,
    Model,
    Optimiser,
    Sampling,
    Section,
    SelfTraining,
    Target,
    Train,
)

__all__ = [
    "Augmentation",
    "Batch",
    "Config",
    "Discriminators",
    "Domain",
    "Losses",
    "Model",
    "Optimiser",
    "Sampling",
    "Section",
    "SelfTraining",
    "Target",
    "Train",
]


class Config(Section):
    method: Literal[tuple(METHODS)]  # type: ignore[valid-type]
    """oracle: labelled target only; joint: and source; ga, fcsa, csa: joint plus the adversaries of that name."""
    classes: Literal["cityscapes19", "synthia16"] | tuple[str, ...] = "cityscapes19"
    """The class set: a known one, or the names in the order of the train ids."""
    source: Domain
    """Rendered, labelled images (I_s)."""
    target: Target
    """Photographs: all serve unlabelled (I_tu), some labelled (I_tl)."""
    validation: Domain | None = None
    """Labelled images to score on; null: no validation."""
    batch: Batch = Batch()
    """Images per step."""
    augmentation: Augmentation = Augmentation()
    """Random changes of training images."""
    sampling: Sampling = Sampling()
    """Which images a step takes."""
    model: Model = Model()
    """G and its head."""
    discriminators: Discriminators = Discriminators()
    """D_g and D_s."""
    losses: Losses = Losses()
    """Weights of the terms of equations 9 and 10."""
    self_training: SelfTraining = SelfTraining()
    """Photographs without labels, labelled by a teacher that averages G; with any method."""
    optimiser: Optimiser = Optimiser()
    """SGD for G, Adam for the discriminators."""
    train: Train = Train()
    """The loop."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of initial weights, order of images and augmentation."""

    @model_validator(mode="after")
    def _check_combinations(self) -> Config:
        def refuse(key: str, rule: str, received: Any) -> None:
            raise ValueError(f"{key} must {rule}. Received: {json.dumps(received)}.")

        if not 2 <= len(set(self.class_names)) == len(self.class_names) <= 250:
            refuse("classes", "name 2 to 250 different classes", self.classes)
        if self.target.labelled == 0 and not self.target.labelled_list and self.recipe.needs_labels:
            refuse("target.labelled", f"be at least 1 for method {self.method}", 0)
        backbone = BACKBONES[self.model.backbone]
        own = (self.model.weights or ".safetensors").endswith(
            (".safetensors", ".pth") if backbone.package else ".safetensors"
        )
        if backbone.application is None and not own and not (backbone.package and self.model.weights == "imagenet"):
            known = "imagenet, null, a .pth or" if backbone.package else "null or"
            rule = f"be {known} a .safetensors file for the {self.model.backbone} backbone"
            refuse("model.weights", rule, self.model.weights)
        if self.model.output_stride > (most := backbone.stride):
            rule = f"be at most {most} for the {self.model.backbone} backbone"
            refuse("model.output_stride", rule, self.model.output_stride)
        if self.model.batch_norm == "frozen" and self.model.weights is None:
            refuse("model.weights", "be given with batch_norm frozen, whose statistics they hold", None)
        if isinstance(weights := self.losses.class_weights, tuple) and len(weights) != len(self.class_names):
            rule = f"be null, a number or a weight for each of the {len(self.class_names)} classes"
            refuse("losses.class_weights", rule, weights)
        if self.train.steps > self.optimiser.decay_steps:
            refuse("train.steps", f"not exceed optimiser.decay_steps {self.optimiser.decay_steps}", self.train.steps)
        for key, known in (("generator", "SGD"), ("discriminator", "Adam")):
            options = getattr(self.optimiser, f"{key}_options")
            if options and getattr(self.optimiser, key) == known:
                rule = f"be empty for {known}, which has settings of its own in this section"
                refuse(f"optimiser.{key}_options", rule, options)
        for key in ("source", "target", "validation"):
            domain = getattr(self, key)
            if domain and domain.class_file is not None and domain.dataset != "folder":
                refuse(f"{key}.class_file", f"be null unless {key}.dataset is folder", domain.class_file)
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        return labels.class_names(self.classes)

    @property
    def recipe(self) -> Method:
        """What the method is made of."""
        return METHODS[self.method]

    @property
    def uses_source(self) -> bool:
        return self.recipe.uses_source

    @property
    def uses_labelled(self) -> bool:
        return self.target.labelled != 0 or self.target.labelled_list is not None

    @property
    def uses_target(self) -> bool:
        """Whether G sees photographs of the target at all."""
        return self.uses_labelled or self.uses_unlabelled

    @property
    def self_trains(self) -> bool:
        return self.self_training.weight > 0

    @property
    def uses_unlabelled(self) -> bool:
        return self.recipe.uses_unlabelled or self.self_trains
