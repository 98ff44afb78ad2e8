"""The data of a settings file: checked and counted, or listed.

python -m ass_tf.datasets CONFIG [--set KEY=VALUE]   decode every file, then print what there is
python -m ass_tf.datasets CONFIG --list labelled     names, one a line, for use as a list file
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from ass_tf import config
from ass_tf.datasets.checking import Facts, check
from ass_tf.datasets.decoding import read_label
from ass_tf.datasets.domain import DataError, Domain
from ass_tf.datasets.roles import open_roles, unmatched
from ass_tf.system import option, terminal


def _shares(domain: Domain, count: int) -> np.ndarray:
    """Share of the pixels of each train id, and of all others, over up to 50 label files; float64 (count + 1,)."""
    paths = [pair.label for pair in domain.pairs if pair.label]
    totals = np.zeros(256, np.int64)
    for path in paths[:: -(-len(paths) // 50) or 1]:
        totals += np.bincount(domain.table[read_label(path, domain.dataset, domain.colours)].ravel(), minlength=256)
    return np.append(totals[:count], totals[count:].sum()) / max(totals.sum(), 1)


def _describe(domains: Mapping[str, Domain], facts: Mapping[str, Facts], classes: Sequence[str]) -> None:
    print(f"{'domain':<12}{'images':>8}{'labels':>8}  sizes found (height x width: images)")
    for role, domain in domains.items():
        sizes = facts[role].sizes
        found = ", ".join(f"{h} x {w}: {n}" for (h, w), n in sizes.most_common(5))
        more = f" and {len(sizes) - 5} more" if len(sizes) > 5 else ""
        print(f"{role:<12}{len(domain.pairs):>8}{sum(p.label is not None for p in domain.pairs):>8}  {found}{more}")
    shares = {role: _shares(domain, len(classes)) for role, domain in domains.items() if domain.pairs[0].label}
    width = max(len(name) for name in (*classes, "share of pixels")) + 2
    print(f"\n{'share of pixels':<{width}}" + "".join(f"{role:>12}" for role in shares))
    for row, name in enumerate((*classes, "(ignored)")):
        print(f"{name:<{width}}" + "".join(f"{share[row]:>12.2%}" for share in shares.values()))


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.datasets") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description="Check the data of a settings file.")
    parser.add_argument("file", type=option.path, metavar="CONFIG", help="a settings file")
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--list", choices=("source", "target", "labelled", "validation"), help="print the image names")
    options = parser.parse_args(arguments)
    try:
        settings = config.load(options.file, options.set)
    except config.ConfigError as error:
        return terminal.complain(error, 2)

    only = None if options.list is None else {"target": "unlabelled"}.get(options.list, options.list)
    try:
        domains = open_roles(settings, None if only is None else [only])
        if only is not None:
            if not domains:
                raise DataError(f"{options.list} must be part of the settings to be listed. Received: {options.file}.")
            print(*(pair.name for domain in domains.values() for pair in domain.pairs), sep="\n")
            return 0
        with terminal.show_progress("check") as progress:
            facts = check(domains, progress)
    except DataError as error:
        return terminal.complain(error, 1)
    _describe(domains, facts, settings.class_names)
    for line in unmatched(domains, settings.class_names):
        print(f"note: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
