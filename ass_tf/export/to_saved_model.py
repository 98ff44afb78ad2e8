"""A trained run as a SavedModel: raw images in, label maps out, for any size and any number of images.

    python export/to_saved_model.py --run DIR [--out DIR] [--probabilities] [--snapshot last|best]

It loads with plain TensorFlow. OUT has TensorFlow Serving's layout: each call adds the next numbered version. Names and
colours of the classes are in its assets.extra/model.json. The signature is that of `serving`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ass_tf import config
from ass_tf.export import card
from ass_tf.runs import trained
from ass_tf.runs.folder import RunFolder
from ass_tf.system import option, process, storage, terminal


def export(
    run: Path,
    out: Path,
    *,
    which: str = "last",
    network: str | None = None,
    probabilities: bool = False,
    size: tuple[int, int] | None = None,
    extra: Callable[[Sequence[int]], dict[str, bytes]] | None = None,
    command: Sequence[str] = ("python", "-m", "ass_tf.export.to_saved_model"),
) -> Path:
    """Write the SavedModel of a run.

    Args:
        run: folder of the run.
        out: folder of the numbered versions.
        which: the snapshot, last or best.
        network: student or teacher; default: the teacher of a run that has one.
        probabilities: give the softmax as well as the labels.
        size: (h, w) of the images that it takes; None: of any.
        command: words that export it, for its card.
        extra: makes more files of assets.extra from that size, or the one that the run was judged on.

    Returns:
        version: folder of the new SavedModel.

    Raises:
        ValueError: the run cannot be used.
        OSError: the SavedModel cannot be written.
    """
    storage.check_folder(out, "--out")
    process.start_tensorflow()
    from ass_tf.export import serving

    settings, generator, step = trained.load(run, which, network)
    model = serving.Serving(generator, probabilities=probabilities, size=size or (None, None))
    entries = card.description(run, settings, which, step, network)
    more = extra(size or trained.judged_size(settings)) if extra else {}
    files = {
        "model.json": f"{json.dumps(entries, indent=1)}\n".encode(),
        "card.md": card.page(run, entries, out.name, list(command), is_saved_model=True).encode(),
    }
    return serving.save(model, out, {**files, **more})


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.export.to_saved_model") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", type=option.path, metavar="DIR", help="folder that ass_tf.train wrote (default: the newest)"
    )
    parser.add_argument(
        "--out", type=option.path, metavar="DIR", help="folder of versions (default: RUN/export/saved_model)"
    )
    parser.add_argument("--snapshot", choices=["last", "best"], default="last", help="default: last")
    parser.add_argument("--network", choices=trained.NETWORKS, help=trained.NETWORK_HELP)
    parser.add_argument("--probabilities", action="store_true", help="give the softmax as well as the labels")
    options = parser.parse_args(arguments)
    try:
        run = options.run or trained.newest_finished()
        out = options.out or RunFolder(run).export / "saved_model"
        words = [*prog.split(), *(sys.argv[1:] if arguments is None else arguments)]
        version = export(
            run,
            out,
            which=options.snapshot,
            network=options.network,
            probabilities=options.probabilities,
            command=words,
        )
    except (ValueError, OSError) as error:
        return terminal.complain(error, 2 if isinstance(error, config.ConfigError) else 1)
    print(f"Written: {version}")
    if storage.PATTERN.search(str(version.resolve())):
        print("note: TensorFlow takes [ ] * ? and backslashes in a path for a pattern; load it from a plain name.")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
