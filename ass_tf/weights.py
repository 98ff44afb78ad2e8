"""Initial weights from elsewhere, and trained weights for PyTorch: both are files in the base code's layout.

    python -m ass_tf.weights FILE --out weights.safetensors [--config configs/gta_csa.json]
    python -m ass_tf.weights runs/gta_csa-1a2b3c4d --out trained.safetensors

FILE is a PyTorch checkpoint of DeepLab-v2 as AdaptSegNet names it or of torchvision's ResNet, a weights file of
`keras.applications`, or the word imagenet. `model.weights` takes what is written.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ass_tf
from ass_tf import config, process, terminal, torch_layout, trained

STRIDE = (
    "note: torchvision's ResNet has its strides in the 3x3 convolutions, this one (Caffe's and AdaptSegNet's) in the "
    "first 1x1: with the same weights it is another function. Input order and scale are taken into account."
)


def import_weights(
    source: str, settings: config.Config, layout: str = "auto"
) -> tuple[Any, list[torch_layout.Row], list[torch_layout.Row], str]:
    """A generator with the weights of a file.

    Args:
        source: a checkpoint, a weights file of `keras.applications` (.h5), or "imagenet".
        settings: their `model` and `classes` say which network.
        layout: of a checkpoint: "adaptsegnet", "torchvision", or "auto" by its head.

    Returns:
        generator: keras.Model.
        ours, others: as `torch_layout.take` returns them.
        layout: what the file was taken for.

    Raises:
        ValueError: the file cannot be read, or nothing tells its layout.
    """
    generator = trained.build(settings)
    if source == "imagenet" or source.endswith(".h5"):
        from ass_tf import deeplab

        backbone = settings.model.backbone
        deeplab.load_backbone(generator, backbone, source)
        state = torch_layout.state_of(generator)
        rows = [torch_layout.Row(n, v.shape, *_verdict_of_applications(n, backbone)) for n, v in state.items()]
        for name, value in state.items():
            torch_layout.checked(name, value)
        return generator, rows, [], "keras.applications"
    tensors = torch_layout.tidy(torch_layout.read(Path(source)))
    found = torch_layout.layout_of(tensors) if layout == "auto" else layout
    if found is None:
        raise ValueError(
            "has neither AdaptSegNet's head nor torchvision's classifier: whose it is must be said, by --layout "
            "adaptsegnet or --layout torchvision."
        )
    if found == torch_layout.TORCHVISION:
        tensors = torch_layout.from_torchvision(tensors)
    return generator, *torch_layout.take(generator, tensors), found


def _verdict_of_applications(name: str, backbone: str) -> tuple[str, str]:
    if name.startswith(torch_layout.HEAD):
        return "missing", "not in the file"
    folded = {"running_mean": "the convolution's bias subtracted", "running_var": "epsilon's difference added"}
    return "taken", folded.get(name.rpartition(".")[2], "") if backbone.startswith("resnet") else ""


def _print_table(rows: Sequence[torch_layout.Row]) -> None:
    width = max(len(row.name) for row in rows)
    for name, shape, verdict, reason in rows:
        print(f"{name:{width}}  {'x'.join(map(str, shape)) or '-':>15}  {verdict:7}  {reason}".rstrip())


def _convert(options: argparse.Namespace) -> None:
    if options.config:
        settings = config.load(options.config, options.set)
    else:
        unused = {"dataset": "folder", "root": "-", "size": [512, 1024]}
        settings = config.from_dict({"method": "joint", "source": unused, "target": unused})
    try:
        generator, ours, others, layout = import_weights(options.source, settings, options.layout)
        _print_table([*ours, *others])
        print(f"layout: {layout}" + (" (--layout says otherwise)" if options.layout == "auto" else ""))
        if layout == torch_layout.TORCHVISION:
            print(STRIDE)
        torch_layout.refuse_gaps(ours, others)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if options.source in text else f"{options.source}: {text}") from None
    head = [row for row in ours if row.name.startswith(torch_layout.HEAD)]
    if any(row.verdict != "taken" for row in head):
        print("the head is not complete, so training starts it at random where a branch is not taken.")
    taken = {row.name for row in ours if row.verdict == "taken"}
    state = {name: value for name, value in torch_layout.state_of(generator).items() if name in taken}
    about = {
        "origin": Path(options.source).name,
        "backbone": settings.model.backbone,
        "ass_tf_version": ass_tf.__version__,
    }
    torch_layout.save(options.out, state, about)
    counts = [f"{sum(r.verdict == v for r in [*ours, *others])} {v}" for v in ("taken", "skipped", "missing")]
    print(f"{options.out}: {', '.join(counts)}")


def _export(options: argparse.Namespace) -> None:
    settings, generator, step = trained.load(options.source, options.snapshot)
    state = torch_layout.state_of(generator)
    torch_layout.save(options.out, state, trained.description(options.source, settings, options.snapshot, step))
    print(f"{options.out}: {len(state)} tensors of step {step}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ass_tf.weights", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("source", metavar="FILE", help="checkpoint, weights file, `imagenet`, or the folder of a run to write out")
    add("--out", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    add("--config", metavar="FILE", help="settings whose network the weights are for (default: ResNet-101, 19 classes)")
    add("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="with --config: changes of it")
    layouts = ["auto", torch_layout.LAYOUT, torch_layout.TORCHVISION]
    add("--layout", choices=layouts, default="auto", help="of a PyTorch checkpoint (default: told from its head)")
    add("--snapshot", choices=["last", "best"], default="last", help="of a run (default: last)")
    options = parser.parse_args(arguments)
    if options.out.suffix != ".safetensors":
        parser.error(f"--out must end in .safetensors. Received: {options.out}")
    if not options.out.parent.is_dir():
        parser.error(f"--out must lie in a folder that is there. Received: {options.out}")
    if options.out.exists() and os.path.realpath(options.out) == os.path.realpath(options.source):
        parser.error(f"--out must be another file than the one that is read. Received: {options.out}")
    if options.set and not options.config:
        parser.error("--set needs --config.")
    try:
        process.start_tensorflow()
        (_export if Path(options.source).is_dir() else _convert)(options)
    except config.ConfigError as error:
        return terminal.complain(error, 2)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
