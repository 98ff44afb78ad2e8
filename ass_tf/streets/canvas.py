"""The camera of a drawn street, and the canvas that its things are drawn on.

Lengths are metres: s right of the camera's own path, y or up above the ground, z ahead. Colours are RGB, 1 = white.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from ass_tf import labels
from ass_tf.streets.looks import Light

_RAW = {name: raw_id for raw_id, (name, _) in labels.CITYSCAPES_RAW.items() if raw_id < 34}
ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, VEGETATION, TERRAIN, SKY = (
    _RAW[name] for name in ("road", "sidewalk", "building", "wall", "fence", "pole", "vegetation", "terrain", "sky")
)
LIGHT, SIGN, PERSON, RIDER, CAR, TRUCK, BUS, BICYCLE = (
    _RAW[name] for name in ("traffic light", "traffic sign", "person", "rider", "car", "truck", "bus", "bicycle")
)


@dataclass(frozen=True)
class View:
    """Pinhole camera over a bending road."""

    h: int
    w: int
    focal: float  # pixels
    centre: float  # column that the path leaves towards
    horizon: float  # row
    eye: float  # metres
    curve: float  # 1 / metres

    def project(self, points, scale: float = 1.0) -> list[tuple[float, float]]:
        """Points (s, y, z) -> (column, row) in pixels times `scale`; plain floats, the points are few."""
        focal, half_curve = self.focal * scale, self.curve / 2
        centre, horizon = self.centre * scale, self.horizon * scale
        result = []
        for s, y, z in points:
            z = max(z, 1.0)
            result.append((centre + focal * (s / z + half_curve * z), horizon + focal * (self.eye - y) / z))
        return result

    def wall_depth(self, offset: float) -> np.ndarray:
        """Depth at which each column's ray meets the surface s = offset: (w,), inf where it never does."""
        slope = (np.arange(self.w) + 0.5 - self.centre) / self.focal
        root = slope * slope - 2 * self.curve * offset
        with np.errstate(divide="ignore", invalid="ignore"):
            z = 2 * offset / (slope + np.sign(offset) * np.sqrt(root))
        return np.where((root >= 0) & (z > 0), z, np.inf)


class Ellipse(NamedTuple):
    """An ellipse, or its rim alone; lengths from the foot of a thing."""

    right: float  # of the middle
    up: float
    half_width: float
    half_height: float
    rim: float = 0.0  # width of the rim; 0: the ellipse is filled


class Bar(NamedTuple):
    """A straight bar, never thinner than a pixel or two; (right, up) from the foot of a thing."""

    start: tuple[float, float]
    end: tuple[float, float]
    width: float


class Canvas:
    """An image of numbers of inks, at twice the picture's size; 0 is bare."""

    def __init__(self, view: View, light: Light):
        self.view, self.light = view, light
        self.image = Image.new("I", (2 * view.w, 2 * view.h))
        self.pen = ImageDraw.Draw(self.image)
        self.inks = [((0.0, 0.0, 0.0), 0, np.inf)]  # lit colour, raw id, z
        self._lights = [x.tolist() for x in (light.sun, light.ambient, light.direct)]
        self.sunlit = 1.0  # share of the sunlight that reaches what is drawn next

    def ink(self, colour, label: int, z: float, normal=(0.0, 0.3, -1.0)) -> int:
        """Number of a new ink: a colour (3,) as it is lit on a surface with this normal (right, up, ahead)."""
        sun, ambient, direct = self._lights  # Light.face in plain floats
        towards = max(0.0, sum(a * b for a, b in zip(sun, normal))) * self.sunlit
        sky = 1 - 0.1 * self.sunlit * (1 - normal[1])
        lit = tuple(float(c) * (sky * a + towards * d) for c, a, d in zip(colour, ambient, direct))
        self.inks.append((lit, label, z))
        return len(self.inks) - 1

    def polygon(self, ink: int, points) -> None:
        """Fills the outline through points (s, y, z)."""
        self.pen.polygon(self.view.project(points, 2.0), fill=ink)

    def flat(self, s: float, z: float, label: int, *parts) -> None:
        """Fills shapes that face the camera.

        Args:
            s, z: the foot of the thing.
            label: raw id.
            parts: (colour, or the number of an ink; Ellipse, Bar, or an outline as a list of (right, up)), in the
                order in which they are drawn.
        """
        scale = 2 * self.view.focal / z
        for colour, shape in parts:
            ink = colour if isinstance(colour, int) else self.ink(colour, label, z)
            if isinstance(shape, Bar):
                ends = self.view.project([(s + right, up, z) for right, up in (shape.start, shape.end)], 2.0)
                self.pen.line(ends, fill=ink, width=max(3, round(scale * shape.width)))
            elif isinstance(shape, Ellipse):
                ((x, y),) = self.view.project([(s + shape.right, shape.up, z)], 2.0)
                rx, ry = shape.half_width * scale, shape.half_height * scale
                look = {"outline": ink, "width": max(1, round(shape.rim * scale))} if shape.rim else {"fill": ink}
                self.pen.ellipse((x - rx, y - ry, x + rx, y + ry), **look)
            else:
                self.polygon(ink, [(s + right, up, z) for right, up in shape])


def box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    """Outline of an upright rectangle: (right, up)."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
