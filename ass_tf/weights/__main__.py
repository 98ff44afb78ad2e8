"""Initial weights from elsewhere, and trained weights for PyTorch: both are files in the base code's layout.

    python -m ass_tf.weights FILE --out weights.safetensors [--config configs/gta_csa.json]
    python -m ass_tf.weights runs/gta_csa-1a2b3c4d --out trained.safetensors

FILE is a PyTorch checkpoint of DeepLab-v2 as AdaptSegNet names it or of torchvision's ResNet, a weights file of
`keras.applications`, or the word imagenet. `model.weights` takes what is written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ass_tf
from ass_tf import config
from ass_tf.export import card
from ass_tf.runs import trained
from ass_tf.system import option, process, storage, terminal
from ass_tf.weights import torch_files, torch_names
from ass_tf.weights.conversion import import_weights

STRIDE = (
    "note: torchvision's ResNet has its strides in the 3x3 convolutions, this one (Caffe's and AdaptSegNet's) in the "
    "first 1x1: with the same weights it is another function. Input order and scale are taken into account."
)


def _print_table(rows: Sequence[torch_names.Row]) -> None:
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
        _finish(options, settings, generator, ours, others)
    except ValueError as error:
        text = str(error)
        raise ValueError(
            text if options.source in text or str(options.out) in text else f"{options.source}: {text}"
        ) from None
    _print_table([*ours, *others])
    print(f"layout: {layout}")
    if layout == torch_names.TORCHVISION:
        print(STRIDE)
    if any(row.verdict != "taken" for row in ours):
        print("the head is not complete: what is not taken of it starts at random in training.")
    counts = [f"{sum(r.verdict == v for r in [*ours, *others])} {v}" for v in ("taken", "skipped", "missing")]
    print(f"{options.out}: {', '.join(counts)}")


def _finish(options: argparse.Namespace, settings: config.Config, generator: Any, ours: list, others: list) -> None:
    """Writes what was taken; where that is not enough, shows the table and raises ValueError."""
    try:
        torch_names.refuse_gaps(ours, others)
    except ValueError:
        _print_table([*ours, *others])
        raise
    taken = {row.name for row in ours if row.verdict == "taken"}
    state = {name: value for name, value in torch_names.state_of(generator).items() if name in taken}
    about = {
        "origin": Path(options.source).name,
        "backbone": settings.model.backbone,
        "rates": json.dumps(torch_names.rates_of(generator)),
        "ass_tf_version": ass_tf.__version__,
    }
    torch_files.save(options.out, state, about)


def _export(options: argparse.Namespace) -> None:
    settings, generator, step = trained.load(options.source, options.snapshot, options.network)
    state = torch_names.state_of(generator)
    about = card.description(options.source, settings, options.snapshot, step, options.network)
    torch_files.save(options.out, state, {**about, "rates": json.dumps(torch_names.rates_of(generator))})
    print(f"{options.out}: {len(state)} tensors of step {step}")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.weights") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("source", metavar="FILE", help="checkpoint, weights file, `imagenet`, or the folder of a run to write out")
    add("--out", type=option.path, required=True, metavar="FILE", help="safetensors file to write")
    add(
        "--config",
        type=option.path,
        metavar="FILE",
        help="settings whose network the weights are for (default: ResNet-101, 19 classes)",
    )
    add("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="with --config: changes of it")
    layouts = ["auto", torch_files.LAYOUT, torch_names.TORCHVISION]
    add("--layout", choices=layouts, default="auto", help="of a PyTorch checkpoint (default: found in the file)")
    add("--snapshot", choices=["last", "best"], default="last", help="of a run (default: last)")
    add("--network", choices=trained.NETWORKS, help=trained.NETWORK_HELP)
    options = parser.parse_args(arguments)
    if options.out.suffix != ".safetensors":
        parser.error(f"--out must end in .safetensors. Received: {options.out}")
    run = os.path.isdir(options.source)
    if options.set and not options.config:
        parser.error("--set needs --config.")
    if run and (options.config or options.layout != "auto"):
        parser.error("--config and --layout are for files, a run has its own.")
    try:
        if not os.path.isdir(options.out.parent) or os.path.isdir(options.out):
            raise ValueError(f"{options.out}: --out must be a file in a folder that is there.")
        storage.check_file(options.out, "--out")
        if os.path.realpath(options.out) == os.path.realpath(options.source):
            raise ValueError(f"{options.out}: --out must be another file than the one that is read.")
        process.start_tensorflow()
        (_export if run else _convert)(options)
    except config.ConfigError as error:
        return terminal.complain(error, 2)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
