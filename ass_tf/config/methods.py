"""The methods: one row each, and nothing else in the package knows them by name.

A new method is a row here; an adversary that is new, too, is a class in `methods.objectives`.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Method:
    """What a method is.

    Attributes:
        title: for people.
        colour: of its line in charts, as #rrggbb.
        uses_source: whether it trains on the source images.
        needs_labels: whether it cannot do without labelled target images.
        adversaries: keys of `methods.objectives.ADVERSARIES`, in the order in which their networks are made.
        lambda_sadv: default weight of the semantic-level adversarial loss, the paper's best at 500 labels.
    """

    title: str
    colour: str
    uses_source: bool = True
    needs_labels: bool = False
    adversaries: tuple[str, ...] = ()
    lambda_sadv: float = 0.0

    @property
    def uses_unlabelled(self) -> bool:
        return bool(self.adversaries)


METHODS = {
    "oracle": Method("oracle", "#8c8c8c", uses_source=False, needs_labels=True),
    "joint": Method("joint", "#d98200"),
    "ga": Method("GA", "#0a85c9", adversaries=("global",)),
    "fcsa": Method("GA+FCSA", "#1a9e77", needs_labels=True, adversaries=("global", "fcsa"), lambda_sadv=0.04),
    "csa": Method("GA+CSA", "#c4609a", needs_labels=True, adversaries=("global", "csa"), lambda_sadv=0.01),
}


SELF_TRAINED = "+self_training"  # after a method's name in tables


def title_of(name: str) -> str:
    """What people call a method; a sweep may have names of its own, which stay as they are."""
    own = name.removesuffix(SELF_TRAINED)
    if own not in METHODS:
        return name
    return METHODS[own].title if own == name else f"{METHODS[own].title} + self-training"
