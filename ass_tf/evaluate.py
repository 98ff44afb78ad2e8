"""Score a run on labelled images: tables, the worst images, and how far its confidence can be trusted.

python -m ass_tf.evaluate --run DIR [--snapshot last|best|both] [--data KEY=VALUE ...] [--flip] [--scales S ...]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ass_tf import config
from ass_tf.runs import trained
from ass_tf.runs.evaluation import SNAPSHOTS, evaluate_run, folder_of
from ass_tf.system import option, terminal


def table_of(result: Mapping[str, Any]) -> Table:
    """The scores of `evaluate_run` as a table, one column for each snapshot."""
    scores = {which: result[which] for which in SNAPSHOTS if which in result}
    if len({value["step"] for value in scores.values()}) < len(scores):
        scores = {"last and best": result["last"]}
    first = next(iter(scores.values()))

    def row(title: str, *keys: str) -> None:
        values = []
        for value in scores.values():
            for key in keys:
                value = value[key]
            values.append(terminal.percent(value))
        table.add_row(Text(title), *values)

    table = Table(title=f"IoU in %, {first['images']} images", title_justify="left")
    table.add_column("class")
    for which, value in scores.items():
        table.add_column(f"{which}, step {value['step']}", justify="right")
    for name in first["iou"]:
        row(name, "iou", name)
    table.add_section()
    total = len(first["iou"])
    absent = [name for name in first["iou"] if all(value["iou"][name] is None for value in scores.values())]
    without = f", without {terminal.some(absent)}" if absent else ""
    row(f"mean of {total - len(absent)} of {total} classes{without}" if absent else f"mean of {total} classes", "miou")
    for key, subset in first["subsets"].items():
        if subset["classes"] < total:
            title = "the data's classes" if key == "data" else key
            scored = max(value["subsets"][key]["scored"] for value in scores.values())
            few = f"{scored} of " if scored < subset["classes"] else ""
            row(f"mean of {few}{subset['classes']} classes ({title})", "subsets", key, "miou")
    row("pixel accuracy", "pixel_accuracy")
    if all((value.get("calibration") or {}).get("error_with_temperature") is not None for value in scores.values()):
        row("calibration error", "calibration", "error")
        row("the same with a temperature", "calibration", "error_with_temperature")
        temperatures = (f"{value['calibration']['temperature']:.2f}" for value in scores.values())
        table.add_row("temperature", *temperatures)
    return table


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.evaluate") -> int:
    """The command line, called `prog`; returns the exit status."""

    def scale(text: str) -> float:
        if not 0 < float(text) <= 16:
            raise ValueError
        return float(text)

    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=option.path, required=True, metavar="DIR", help="folder that ass_tf.train wrote")
    parser.add_argument("--snapshot", choices=[*SNAPSHOTS, "both"], help="default: both, or last if never validated")
    parser.add_argument("--network", choices=trained.NETWORKS, help=trained.NETWORK_HELP)
    parser.add_argument(
        "--data",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="settings that replace those of the run's validation set, or a JSON file with all of them",
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirrored images")
    parser.add_argument("--scales", type=scale, nargs="+", default=[1.0], metavar="S", help="average over these scales")
    text = "images to draw, evenly spread (default 8)"
    parser.add_argument("--strips", type=option.number(0), default=8, metavar="N", help=text)
    text = "images to draw, those of the lowest mIoU (default 8)"
    parser.add_argument("--worst", type=option.number(0), default=8, metavar="N", help=text)
    parser.add_argument(
        "--out",
        type=option.path,
        metavar="DIR",
        help="folder of the results (default: DIR/evaluation)",
    )
    options = parser.parse_args(arguments)
    try:
        evaluate_run(
            progress=terminal.show_progress, told=lambda result: Console().print(table_of(result)), **vars(options)
        )
    except (ValueError, OSError) as error:
        return terminal.complain(error, 2 if isinstance(error, config.ConfigError) else 1)
    print(f"Written: {folder_of(options.run, options.out) / 'result.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
