"""Weights from elsewhere, given to a generator: PyTorch checkpoints and files of `keras.applications`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ass_tf import config
from ass_tf.config.backbones import BACKBONES
from ass_tf.weights import torch_files, torch_names


def import_weights(
    source: str, settings: config.Config, layout: str = "auto"
) -> tuple[Any, list[torch_names.Row], list[torch_names.Row], str]:
    """A generator with the weights of a file.

    Args:
        source: a checkpoint, a weights file of `keras.applications` (.h5), or "imagenet".
        settings: their `model` and `classes` say which network.
        layout: of a checkpoint: "adaptsegnet", "torchvision", or "auto" to find it in the file.

    Returns:
        generator: keras.Model.
        ours, others: as `torch_names.take` returns them.
        layout: what the file was taken for.

    Raises:
        ValueError: the file cannot be read, or its layout cannot be found in it.
    """
    if source == "imagenet" or source.endswith(".h5"):
        from ass_tf.weights import applications

        generator, backbone = _build(settings), settings.model.backbone
        applications.load_backbone(generator, backbone, source)
        state = torch_names.state_of(generator)
        rows = [torch_names.Row(n, v.shape, *_verdict_of_applications(n, backbone)) for n, v in state.items()]
        return generator, rows, [], "keras.applications"
    tensors = torch_names.tidy(torch_files.read(Path(source)))
    known = torch_names.layout_of(Path(source), tensors)
    if known is None and BACKBONES[settings.model.backbone].module != "resnet":
        known = torch_files.LAYOUT  # names of layers, which no other layout has
    if known and layout not in ("auto", known):
        raise ValueError(f"--layout must be {known} for this file, by its head or its own word. Received: {layout}.")
    found = known or layout
    if found == "auto":
        raise ValueError(
            "torchvision's ResNets and Caffe's have the same names: say which by --layout torchvision or --layout "
            "adaptsegnet (BGR, 0 to 255 minus the mean)."
        )
    if found == torch_names.TORCHVISION:
        tensors = torch_names.from_torchvision(tensors)
    generator = _build(settings)
    if source.endswith(".safetensors"):
        torch_names.refuse_other_rates(generator, tensors, torch_files.read_safetensors(Path(source))[1])
    return generator, *torch_names.take(generator, tensors), found


def _build(settings: config.Config) -> Any:
    from ass_tf.models.generator import build_generator

    return build_generator(len(settings.class_names), settings.model)


def _verdict_of_applications(name: str, backbone: str) -> tuple[str, str]:
    if name.startswith(torch_names.HEAD):
        return "missing", "not in the file"
    folded = {"running_mean": "the convolution's bias subtracted", "running_var": "epsilon's difference added"}
    return "taken", folded.get(name.rpartition(".")[2], "") if BACKBONES[backbone].module == "resnet" else ""
