"""The page that shows what was chosen: each photograph, what the network sees in it, and where it is unsure."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ass_tf import labels
from ass_tf.scoring import pictures

WIDTH = 400  # pixels of a panel
MOST = 100  # photographs on a page

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1260px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
article { border-top: 1px solid var(--line); padding: 1rem 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); gap: .5rem; }
.panels img { width: 100%; display: block; } figure { margin: 0; } figcaption { font-size: .85rem; opacity: .75; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; padding: 0; }
.legend i { display: inline-block; width: .9em; height: .9em; margin-right: .4em; vertical-align: -.1em; }
"""


@dataclass(frozen=True, eq=False)
class Choice:
    """A photograph that was chosen.

    Attributes:
        name: as list files hold it.
        score: uncertainty in which rare classes count more.
        mean: mean uncertainty, 0 to 1.
        distance: from the nearest photograph that is labelled or was chosen before.
        image: uint8 (h, w, 3).
        prediction: uint8 (h, w), train ids.
        doubt: (h, w), uncertainty from 0 to 1.
    """

    name: str
    score: float
    mean: float
    distance: float
    image: np.ndarray
    prediction: np.ndarray
    doubt: np.ndarray


def heat(doubt: np.ndarray) -> np.ndarray:
    """Uncertainty (h, w), 0 to 1, as a picture uint8 (h, w, 3): black, violet, orange, then pale yellow."""
    stops = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(np.clip(doubt, 0, 1), places, stops[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def render(choices: Iterable[Choice], classes: Sequence[str], heading: str, facts: Sequence[str]) -> str:
    """The page as HTML that needs no other file.

    Args:
        choices: in the order of choice, MOST of them at most.
        classes: the class set.
        heading: of the page.
        facts: sentences below it.
    """
    palette, parts = labels.colours(classes), []
    for place, choice in enumerate(choices, 1):
        parts.append(_article(place, choice, palette))
    marks = "".join(
        f'<li><i style="background:{labels.hexadecimal(palette[i])}"></i>{html.escape(name)}</li>'
        for i, name in enumerate(classes)
    )
    told = "".join(f"<p>{html.escape(fact)}</p>" for fact in facts)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(heading)}'
    return (
        f'<!doctype html><html lang="en"><head>{head}</title><style>{STYLE}</style></head><body>'
        f'<h1>{html.escape(heading)}</h1>{told}<ul class="legend">{marks}</ul>{"".join(parts)}</body></html>\n'
    )


def _article(place: int, choice: Choice, palette: np.ndarray) -> str:
    size = (WIDTH, max(1, round(choice.image.shape[0] * WIDTH / choice.image.shape[1])))
    image = np.asarray(Image.fromarray(choice.image).resize(size, Image.Resampling.LANCZOS))
    doubt = Image.fromarray(heat(choice.doubt)).resize(size, Image.Resampling.BILINEAR)
    panels = {
        "photograph": image,
        "prediction": pictures.overlay(image, choice.prediction, palette),
        "uncertainty: dark is sure, bright is not": np.asarray(doubt),
    }
    figures = "".join(
        f'<figure><img alt="{html.escape(title)} of {html.escape(choice.name)}" src="{_address(panel)}">'
        f"<figcaption>{html.escape(title)}</figcaption></figure>"
        for title, panel in panels.items()
    )
    distance = "" if np.isinf(choice.distance) else f", {choice.distance:.2f} from its nearest neighbour"
    numbers = f"score {choice.score:.3f}, mean uncertainty {choice.mean:.3f}{distance}"
    title = f"{place}. {html.escape(choice.name)}"
    return f'<article><h2>{title}</h2><p>{numbers}</p><div class="panels">{figures}</div></article>'


def _address(picture: np.ndarray) -> str:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
