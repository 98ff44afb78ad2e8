"""A run or a sweep as one HTML page, and as table.md and table.csv.

    python -m ass_tf.report RUN_OR_SWEEP [--out DIR] [--title TEXT] [--without-pictures]

The page needs no network and no other file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ass_tf import config
from ass_tf.studies import results, tables
from ass_tf.system import option, process, storage, terminal


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.report") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("folder", type=option.path, metavar="RUN_OR_SWEEP", help="a run's folder, or one that holds runs")
    add("--out", type=option.path, metavar="DIR", help="folder of the results (default: report/ in it)")
    add("--title", metavar="TEXT", help="heading of the page (default: the folder's name)")
    add("--without-pictures", action="store_true", help="no images of the data sets on the page")
    options = parser.parse_args(arguments)
    out = options.out or options.folder / "report"
    try:
        for package in ("jinja2", "matplotlib"):
            process.require(package, "report", "a report")
        from ass_tf.studies import page

        storage.check_folder(out, "--out", config.ConfigError)
        runs = results.read(options.folder)
        html = page.page(options.title or options.folder.resolve().name, runs, not options.without_pictures)
        printed = "\n".join(f"{table.heading}\n\n{tables.as_markdown(table)}" for table in tables.tables(runs))
        storage.write_text(out / "table.md", printed)
        storage.write_text(out / "table.csv", tables.as_csv(runs))
        storage.write_text(out / "index.html", html)
    except config.ConfigError as error:
        return terminal.complain(error, 2)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    print(printed)
    print(f"{out / 'index.html'} ({len(html.encode()) / 2**20:.1f} MB), table.md, table.csv")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
