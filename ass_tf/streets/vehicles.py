"""Vehicles of drawn streets: their forms, and how they are drawn on a canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ass_tf.streets.canvas import BUS, CAR, TRUCK, Canvas

BODY, GLASS, DARK = range(3)  # what a face of a vehicle is painted with


class Vehicle(NamedTuple):
    """Form of a vehicle. `along` is a share of its length from the rear bumper, `up` is in metres."""

    share: float  # of all vehicles
    label: int  # raw id
    length: float  # metres
    width: float
    windows: tuple[tuple[float, float], ...]  # the side windows' outline: (along, up)
    outline: tuple[tuple[float, float, int], ...]  # side view, over the roof: (along, up, paint of the face ahead)


VEHICLES = (
    Vehicle(  # saloon
        share=0.36, label=CAR, length=4.6, width=1.8, windows=((0.2, 1.02), (0.29, 1.34), (0.57, 1.36), (0.69, 1.02)),
        outline=((0, 0.2, DARK), (0, 0.5, BODY), (0.02, 0.95, BODY), (0.14, 1, GLASS), (0.27, 1.42, BODY),
                 (0.58, 1.44, GLASS), (0.74, 1, BODY), (0.97, 0.82, BODY), (1, 0.5, DARK), (1, 0.2, DARK))),
    Vehicle(  # hatchback
        share=0.3, label=CAR, length=3.9, width=1.7, windows=((0.09, 1.03), (0.13, 1.38), (0.54, 1.4), (0.68, 1.03)),
        outline=((0, 0.2, DARK), (0, 0.5, BODY), (0.02, 0.95, GLASS), (0.09, 1.45, BODY), (0.55, 1.5, GLASS),
                 (0.73, 1, BODY), (0.96, 0.85, BODY), (1, 0.5, DARK), (1, 0.2, DARK))),
    Vehicle(  # off-roader
        share=0.19, label=CAR, length=4.6, width=1.9, windows=((0.07, 1.2), (0.09, 1.62), (0.59, 1.64), (0.68, 1.2)),
        outline=((0, 0.28, DARK), (0, 0.65, BODY), (0.02, 1.1, GLASS), (0.05, 1.72, BODY), (0.6, 1.76, GLASS),
                 (0.72, 1.2, BODY), (0.97, 1.05, BODY), (1, 0.65, DARK), (1, 0.28, DARK))),
    Vehicle(  # van
        share=0.09, label=CAR, length=5.0, width=2.0, windows=((0.62, 1.25), (0.63, 1.85), (0.76, 1.85), (0.84, 1.25)),
        outline=((0, 0.25, DARK), (0, 0.55, BODY), (0.01, 1.2, GLASS), (0.02, 1.85, BODY), (0.03, 2.1, BODY),
                 (0.76, 2.1, GLASS), (0.88, 1.2, BODY), (0.98, 1, BODY), (1, 0.6, DARK), (1, 0.25, DARK))),
    Vehicle(  # truck
        share=0.03, label=TRUCK, length=7.5, width=2.4, windows=((0.8, 1.6), (0.8, 2.4), (0.91, 2.4), (0.96, 1.6)),
        outline=((0, 0.6, DARK), (0, 0.9, BODY), (0, 3.3, BODY), (0.74, 3.3, BODY), (0.74, 2.7, BODY),
                 (0.93, 2.7, GLASS), (0.99, 1.5, BODY), (1, 0.6, DARK), (1, 0.4, DARK))),
    Vehicle(  # bus
        share=0.03, label=BUS, length=10.5, width=2.5, windows=((0.03, 1.4), (0.03, 2.5), (0.97, 2.5), (0.97, 1.4)),
        outline=((0, 0.4, DARK), (0, 0.7, BODY), (0, 1.5, GLASS), (0.01, 2.6, BODY), (0.02, 3, BODY),
                 (0.98, 3, GLASS), (1, 1.2, BODY), (1, 0.6, DARK), (1, 0.4, DARK))),
)  # fmt: skip


class Side(NamedTuple):
    """A face of a vehicle in the scene."""

    points: list[tuple[float, float, float]]  # (s, y, z)
    paint: int
    normal: tuple[float, float, float]
    flank: int  # -1 the left side, 1 the right, 0 neither


@dataclass(frozen=True)
class _Placed:
    """A vehicle in the scene, its middle at (s, z)."""

    canvas: Canvas
    form: Vehicle
    s: float
    z: float
    cos: float  # of the heading
    sin: float
    near: float  # z of the part nearest to the camera

    def points(self, along, up, across) -> list[tuple[float, float, float]]:
        """Points (s, y, z) of shares of the length and metres up and right."""
        ahead = [(x - 0.5) * self.form.length for x in along]
        s, z, cos, sin = self.s, self.z, self.cos, self.sin
        return [(s + x * sin + r * cos, y, z + x * cos - r * sin) for x, y, r in zip(ahead, up, across)]

    def fill(self, colour, points, *normal) -> None:
        self.canvas.polygon(self.canvas.ink(colour, self.form.label, self.near, *normal), points)

    def sides(self) -> list[Side]:
        """All faces, the farthest first."""
        along, up = np.float64([point[:2] for point in self.form.outline]).T
        half = self.form.width / 2 * (1 - 0.2 * np.clip((up - 1) / 0.5, 0, 1) * (self.form.label == CAR))
        flanks = [(flank, self.points(along, up, flank * half)) for flank in (-1, 1)]
        found = [Side(points, BODY, (k * self.cos, 0.2, -k * self.sin), flank=k) for k, points in flanks]
        for i, (_, _, paint) in enumerate(self.form.outline[:-1]):
            rise, run, pair = up[i + 1] - up[i], (along[i + 1] - along[i]) * self.form.length, [i, i, i + 1, i + 1]
            normal = np.array([-rise * self.sin, run, -rise * self.cos]) / (np.hypot(rise, run) + 1e-6)
            found.append(Side(self.points(along[pair], up[pair], half[pair] * [-1, 1, 1, -1]), paint, normal, flank=0))
        return sorted(found, key=lambda side: sum(z for _, _, z in side.points) / len(side.points), reverse=True)

    def shows(self, side: Side) -> bool:
        """Whether a face is turned to the camera: its corners then run the right way round in the picture."""
        seen = self.canvas.view.project(side.points)
        return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(seen, seen[1:] + seen[:1])) * (side.flank or -1) > 0

    def draw_flank(self, side: Side, colour, glass) -> None:
        """Side windows, the post between them, and wheels."""
        along, up = np.float64(self.form.windows).T
        across, is_car = side.flank * self.form.width * 0.45, self.form.label == CAR
        self.fill(glass, self.points(along, up, [across] * 4), side.normal)
        if is_car:
            post = along.mean() + np.array([0.02, 0.02, 0.04, 0.04])
            self.fill(colour, self.points(post, (1, 1.4, 1.4, 1), [across] * 4), side.normal)
        tyre, turn = 0.33 if is_car else 0.48, np.linspace(0, 2 * np.pi, 12, endpoint=False)
        for axle in (0.19, 0.8) if self.near < 70 else ():
            for radius, tone in ((tyre, 0.04), (0.55 * tyre, 0.4)):
                rim = axle + radius / self.form.length * np.cos(turn), tyre + radius * np.sin(turn)
                self.fill([tone] * 3, self.points(*rim, [side.flank * self.form.width / 2] * 12), side.normal)

    def draw_end(self) -> None:
        """Tyres, lamps and number plate of the end that is turned to the camera."""
        away = self.cos > 0
        at, lamp = (-0.002, (0.75, 0.05, 0.05)) if away else (1.002, (0.95, 0.95, 0.85))
        (_, lowest, _), (_, bumper, _), *_, (_, front, _), _ = self.form.outline
        level = bumper + 0.12 if away else front + 0.1

        def patch(colour, x0, y0, x1, y1):
            self.fill(colour, self.points([at] * 4, (y0, y0, y1, y1), (x0, x1, x1, x0)))

        for x in (-0.4 * self.form.width, 0.4 * self.form.width):
            patch((0.05, 0.05, 0.05), x - 0.15, 0.0, x + 0.15, lowest + 0.1)
            patch(lamp, x - 0.15, level, x + 0.15, level + 0.15)
        patch((0.85, 0.85, 0.8), -0.26, level - 0.15, 0.26, level - 0.04)


def draw_vehicle(canvas: Canvas, rng, s: float, z: float, form: Vehicle, colour, heading: float) -> None:
    """Draws a vehicle whose middle is at (s, z); heading in radians, 0 drives away from the camera."""
    cos, sin = float(np.cos(heading)), float(np.sin(heading))
    placed = _Placed(canvas, form, s, z, cos, sin, near=z - 0.5 * (abs(cos) * form.length + abs(sin) * form.width))
    glass = np.float32([0.1, 0.12, 0.14]) + 0.3 * rng.random() * canvas.light.fog
    paints = {BODY: colour, GLASS: glass, DARK: (0.08, 0.08, 0.09)}
    for side in placed.sides():
        if placed.shows(side):
            placed.fill(paints[side.paint], side.points, side.normal)
            if side.flank:
                placed.draw_flank(side, colour, glass)
    if abs(placed.cos) > 0.7 and placed.near < 60:
        placed.draw_end()
