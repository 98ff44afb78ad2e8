"""Curves, bars, matrices and planes as SVG that takes its text's colour from the page, light or dark.

What is drawn is chosen in `report`; everything here takes plain values.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

# Told apart by readers who see few colours, on white and on black alike. Source: Okabe and Ito 2008, a little lighter.
COLOURS = ("#8c8c8c", "#d98200", "#0a85c9", "#1a9e77", "#c4609a", "#b5a400", "#d1491f", "#56b4e9")
INK, GRID = "#010203", "#040506"  # stand for the page's own colours until the text is written
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
    "grid.color": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
}


def svg(figure: Figure, title: str) -> str:
    """A figure as an element of a page: no size of its own, no names that clash with another figure's."""
    text = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    used = set(re.findall(r"#([\w-]+)[\")]", drawn))
    drawn = re.sub(r' id="([\w-]+)"', lambda m: m[0] if m[1] in used else "", drawn)
    prefix = re.sub(r"\W+", "-", title)
    drawn = re.sub(r'(id="|href="#|url\(#)', rf"\1{prefix}-", drawn)
    drawn = drawn.replace(INK, "currentColor").replace(GRID, "var(--line)")
    drawn = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1system-ui, sans-serif", drawn)
    head = re.search(r'viewBox="[^"]*"', drawn)[0]
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return re.sub(r"<svg[^>]*>", f'<svg {head} role="img" aria-label="{label}">', drawn, count=1)


def _figure(width: float, height: float, panels: int = 1, rows: int = 1):
    figure = Figure((width, height), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(rows, panels // rows)).ravel()


def _legend(axes, count: int, columns: int = 3) -> None:
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=min(count, columns))


def curves_of_labels(
    lines: Mapping[str, tuple[Sequence[int], Sequence[float], Sequence[float]]],
    paper: Mapping[str, tuple[Sequence[int], Sequence[float]]],
) -> str:
    """mIoU against the number of labelled images.

    Args:
        lines: method -> numbers, means, spreads (0 where there is none).
        paper: method -> numbers, mIoU; drawn dashed.
    """
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _figure(7, 4.2)
        for i, (method, (counts, means, spreads)) in enumerate(lines.items()):
            colour = COLOURS[i % len(COLOURS)]
            axes.errorbar(counts, means, spreads, label=method, color=colour, marker="o", markersize=4, capsize=3)
            if method in paper:
                axes.plot(*paper[method], "--", color=colour, label=f"{method}, paper", linewidth=1)
        ticks = sorted({count for counts, _, _ in lines.values() for count in counts})
        axes.set_xscale("symlog", linthresh=20)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("labelled target images")
        axes.set_ylabel("mIoU, %")
        _legend(axes, len(lines) + len(paper))
    return svg(figure, "mIoU by number of labelled images")


def bars_of_classes(title: str, scores: Mapping[str, Sequence[float | None]], names: Sequence[str]) -> str:
    """IoU of each class, a bar for each method: method -> IoU in percent, None where a class has none."""
    thick = 0.8 / max(len(scores), 1)
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _figure(7, 1.2 + len(names) * (0.16 + 0.13 * len(scores)))
        places = np.arange(len(names))
        for i, (method, values) in enumerate(scores.items()):
            values = np.array([np.nan if value is None else value for value in values], float)
            offset = (i - (len(scores) - 1) / 2) * thick
            axes.barh(places + offset, values, thick, label=method, color=COLOURS[i % len(COLOURS)])
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("IoU, %")
        axes.grid(axis="y", visible=False)
        axes.margins(y=0.02)
        _legend(axes, len(scores), columns=5)
    return svg(figure, title)


def curves_of_steps(
    title: str, panels: Mapping[str, Mapping[str, tuple[Sequence[int], Sequence[float]]]], bounds: Mapping[str, tuple]
) -> str:
    """Small panels of curves over the steps.

    Args:
        title: of the figure.
        panels: heading -> name of a line -> steps, values. The same name has the same colour in each.
        bounds: heading -> limits of its axis; default those of the values, from 0.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    rows = -(-len(panels) // 2)
    with matplotlib.rc_context(STYLE):
        figure, all_axes = _figure(8, 0.5 + 2.3 * rows, 2 * rows, rows)
        for axes, (heading, lines) in zip(all_axes, panels.items()):
            for name, (steps, values) in lines.items():
                mark = "o" if len(steps) < 2 else None
                axes.plot(steps, values, label=name, color=COLOURS[names.index(name) % len(COLOURS)], marker=mark)
            axes.set_title(heading, fontsize=10, loc="left")
            axes.set_ylim(*bounds.get(heading, (0, None)))
        for axes in all_axes[len(panels) :]:
            axes.set_axis_off()
        handles = {}
        for axes in all_axes:
            handles.update((label, handle) for handle, label in zip(*axes.get_legend_handles_labels()))
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=5)
        figure.supxlabel("step", fontsize=10)
    return svg(figure, title)


def matrix(title: str, confusion: np.ndarray, names: Sequence[str]) -> str:
    """A confusion matrix: of each true class (row) the share of its pixels, in percent, that got each class."""
    totals = confusion.sum(1, keepdims=True)
    shares = 100 * np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    side = 1.6 + 0.36 * len(names)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure, (axes,) = _figure(side, side)
        blend = LinearSegmentedColormap.from_list("share", [(0.04, 0.52, 0.79, 0.0), (0.04, 0.52, 0.79, 0.9)])
        axes.pcolormesh(shares, cmap=blend, vmin=0, vmax=100, edgecolors=GRID, linewidth=0.3)
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.5:
                axes.text(column + 0.5, row + 0.5, f"{share:.0f}", ha="center", va="center", fontsize=7.5)
        axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
        axes.set_xticks(np.arange(len(names)) + 0.5, names, fontsize=8, rotation=90)
        axes.set_ylabel("truth")
        axes.set_xlabel("prediction")
        axes.invert_yaxis()
        axes.set_aspect("equal")
    return svg(figure, title)


def planes(
    title: str,
    stages: Mapping[str, tuple[np.ndarray, np.ndarray, float]],
    names: Sequence[str],
    palette: Sequence[str],
) -> str:
    """Class means of both domains in a plane, joined by a line.

    Args:
        title: of the figure.
        stages: heading -> source (c, 2), target (c, 2), share of the variance that the plane keeps.
        names: the class set.
        palette: colour of each class.
    """
    with matplotlib.rc_context(STYLE):
        figure, all_axes = _figure(4.2 * len(stages), 4.4, len(stages))
        for axes, (heading, (source, target, kept)) in zip(all_axes, stages.items()):
            for i, name in enumerate(names):
                axes.plot(*np.array([source[i], target[i]]).T, color=palette[i], linewidth=1, zorder=1)
                axes.scatter(*source[i], 42, color=palette[i], zorder=2)
                axes.scatter(*target[i], 42, facecolors="none", edgecolors=palette[i], linewidths=1.6, zorder=2)
                place = target[i] if np.isfinite(target[i]).all() else source[i]
                if np.isfinite(place).all():
                    axes.annotate(name, place, (4, 4), textcoords="offset points", fontsize=8)
            axes.set_title(f"{heading} ({kept:.0%} of the variance)", fontsize=10, loc="left")
            axes.set_xticklabels([])
            axes.set_yticklabels([])
            axes.set_aspect("equal", adjustable="datalim")
    return svg(figure, title)
