"""Train, or go on training, by a settings file.

    python -m ass_tf.train --config configs/gta_csa.json [--set optimiser.lr=1e-4 ...] [--run DIR]

The same command goes on where a killed run stopped. On several machines start it on each, with TF_CONFIG set, or with
--cluster or --workers: docs/cluster.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ass_tf import config
from ass_tf.runs import loop, session
from ass_tf.runs.folder import RunFolder
from ass_tf.system import cluster as clusters
from ass_tf.system import option, terminal


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.train") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config", type=option.path, required=True, metavar="FILE", help="settings, e.g. gta_csa.json")
    add("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="e.g. optimiser.lr=1e-4")
    add(
        "--run",
        type=option.path,
        metavar="DIR",
        help="run folder (default: runs/<file>-<digest of the settings>)",
    )
    add("--cluster", choices=("slurm", "kubernetes"), help="one of several workers, which this scheduler has started")
    add("--workers", metavar="HOST:PORT,...", help="all workers of the run, of which the first writes")
    add("--worker", type=option.number(0), metavar="I", help="which of them this one is, from 0")
    options = parser.parse_args(arguments)
    try:
        cluster = clusters.find(options.cluster, options.workers, options.worker)
        settings = config.load(options.config, options.set)
        run = Path(session.default_run(options.config, settings) if options.run is None else options.run)
        print(f"run folder: {run}" if cluster is None else f"run folder: {run}; {cluster}", flush=True)
        result = loop.train(settings, run, cluster=cluster)
    except (session.WorkerLost, clusters.Missing) as error:
        return terminal.complain(error, os.EX_TEMPFAIL)  # start all of them again
    except (config.ConfigError, clusters.ClusterError) as error:
        return terminal.complain(error, 2)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    except KeyboardInterrupt:
        return terminal.complain("interrupted; the same command goes on from the last snapshot, if there is one.", 130)
    for which in ("last", "best"):
        if scores := result.get(which):
            print(f"{which}: step {scores['step']}, mIoU {terminal.mean_of(scores['miou'], scores['iou'])}")
    print(f"results: {RunFolder(run).result}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
