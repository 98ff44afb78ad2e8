"""All commands under one name.

ass-tf COMMAND ...            e.g. ass-tf train --config gta_csa.json
python -m ass_tf COMMAND ...  the same
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import ass_tf
from ass_tf.system import storage, terminal

# Command -> its module, which is imported when it is called, and a line of help.
COMMANDS = {
    "train": ("ass_tf.train", "train, or go on training, by a settings file"),
    "evaluate": ("ass_tf.evaluate", "score a run on labelled images"),
    "adabn": ("ass_tf.adabn", "adapt a run to other photographs without training"),
    "select": ("ass_tf.select", "choose the photographs to have labelled next"),
    "sweep": ("ass_tf.sweep", "make the runs of a whole table"),
    "report": ("ass_tf.report", "show a run or a sweep as one HTML page"),
    "demo": ("ass_tf.demo", "show the whole method in minutes on drawn streets"),
    "datasets": ("ass_tf.datasets.__main__", "check, count or list the data of a settings file"),
    "labels": ("ass_tf.annotations.__main__", "make a data set of what an annotation tool wrote"),
    "streets": ("ass_tf.streets.__main__", "draw two street data sets"),
    "weights": ("ass_tf.weights.__main__", "convert weights from elsewhere, or a run's for PyTorch"),
    "config": ("ass_tf.config.__main__", "show settings, or their schema"),
    "export": ("ass_tf.export.to_onnx", "write a run as an ONNX model"),
    "serving": ("ass_tf.export.to_server", "write a model for TensorFlow Serving or Triton"),
    "infer": ("street_inference.command", "run street images through an exported model"),
    "page": ("ass_tf.page", "make a web page that runs an exported model in the browser"),
    "bench": ("ass_tf.export.bench", "measure speed and memory of exported models"),
}


def usage(prog: str) -> str:
    """The help of all commands, one a line."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    head = f"usage: {prog} COMMAND ...\n       {prog} COMMAND --help\n       {prog} --version"
    return "\n".join([head, "", "commands:", *lines])


def dispatch(words: Sequence[str], prog: str) -> int:
    """Runs one command.

    Args:
        words: its name and its arguments.
        prog: how the user calls all commands, for the usage lines.

    Returns:
        status: the command's exit status; 2 where there is no such command, 1 where a package is not installed.
    """
    if not words:
        print(usage(prog), file=sys.stderr)
        return 2
    name, *arguments = words
    if name in ("--help", "-h"):
        print(usage(prog))
        return 0
    if name == "--version":
        print(f"ass_tf {ass_tf.__version__}")
        return 0
    if name not in COMMANDS:
        nearest = difflib.get_close_matches(name.lower(), COMMANDS, n=1, cutoff=0.0)[0]
        shown = storage.shown(name)
        return terminal.complain(f"{shown} is no command; the nearest is {nearest}. `{prog} --help` lists all.", 2)
    try:
        return importlib.import_module(COMMANDS[name][0]).main(arguments, f"{prog} {name}")
    except ModuleNotFoundError as error:  # installed by `pip install --no-deps`; TensorFlow is imported late
        return terminal.complain(f"{name} needs {error.name}: pip install ass_tf.", 1)


def main() -> int:
    """The console script `ass-tf`; returns the exit status."""
    prog = "python -m ass_tf" if Path(sys.argv[0]).name == "__main__.py" else "ass-tf"
    return terminal.run(lambda: dispatch(sys.argv[1:], prog))


if __name__ == "__main__":
    sys.exit(main())
