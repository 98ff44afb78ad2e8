"""People, trees, poles, lights and signs of drawn streets.

Each function draws one thing, of a random form of its kind, whose foot is at s metres right and z metres ahead.
"""

from __future__ import annotations

import numpy as np

from ass_tf.streets.canvas import BICYCLE, LIGHT, PERSON, POLE, RIDER, SIGN, VEGETATION, Bar, Canvas, Ellipse, box
from ass_tf.streets.textures import paint_colour

_LUMPS = [
    [(k * np.cos(a), k * np.sin(a)) for a, k in zip(np.linspace(0, 6.28, 11), row)]
    for row in np.random.default_rng(3).uniform(0.55, 1.25, (8, 11))
]  # outlines of a tree's foliage, of radius 1


def _ring(n: int, y: float, r: float, turn: float = 0.0) -> list[tuple[float, float]]:
    """Outline of a regular polygon about (0, y)."""
    return [(r * np.sin(a + turn), y + r * np.cos(a + turn)) for a in np.linspace(0, 2 * np.pi, n, False)]


def draw_person(canvas: Canvas, rng, s: float, z: float, label: int = PERSON, lift: float = 0.0) -> None:
    """label: PERSON or RIDER; lift: metres between the ground and the feet."""
    size, step, lean = rng.uniform(0.86, 1.08), rng.uniform(0.02, 0.3), rng.normal(0, 0.03)
    skin, hem = np.float32([0.85, 0.66, 0.52]) * rng.uniform(0.4, 1.05), rng.choice([0.85, 0.8, 0.55])
    coat, legs = (paint_colour(rng, np.linspace(0, 1, 12), (0, 0.6), (0.08, 0.75)) for _ in range(2))
    shoulders = [(0.22 + lean, 1.4), (0.1 + lean, 1.5), (-0.1 + lean, 1.5), (-0.22 + lean, 1.4)]
    parts = []  # (colour, outline), the body over the limbs
    for side in (-1, 1):
        foot, hand = side * step, side * (0.23 + step / 3)
        parts.append((legs * 0.6, [(side * 0.14, 0.88), (-side * 0.01, 0.88), (foot - 0.07, 0), (foot + 0.07, 0)]))
        parts.append((coat * 0.8, [(side * 0.17, 1.42), (side * 0.25, 1.38), (hand + 0.04, 0.8), (hand - 0.04, 0.8)]))
    parts.append((coat, [(-0.19, hem), (0.19, hem), *shoulders]))
    for colour, outline in parts:
        canvas.flat(s, z, label, (colour, [(size * right, lift + size * up) for right, up in outline]))
    for tone, up, r in ((0.25, 1.66, 0.12), (1.0, 1.6, 0.1)):  # hair, face
        canvas.flat(s, z, label, (skin * tone, Ellipse(size * lean, lift + size * up, size * r, size * r * 1.1)))


def draw_bicycle(canvas: Canvas, rng, s: float, z: float, squeeze: float) -> None:
    """squeeze: 1 seen from its side, towards 0 from behind."""
    frame = canvas.ink(paint_colour(rng, (0, 0.3, 0.6), (0, 0.8), (0.1, 0.8)), BICYCLE, z)
    tyre = canvas.ink((0.06, 0.06, 0.06), BICYCLE, z)
    for along in (-0.52, 0.52):
        wheel = Ellipse(along * squeeze, 0.35, half_width=max(0.35 * squeeze, 0.04), half_height=0.35, rim=0.06)
        canvas.flat(s, z, BICYCLE, (tyre, wheel))
    for x0, y0, x1, y1 in (
        (-0.52, 0.35, -0.2, 0.85), (-0.2, 0.85, 0, 0.35), (0, 0.35, 0.4, 0.9), (-0.2, 0.8, 0.4, 0.85),
        (0.52, 0.35, 0.38, 1),
    ):  # fmt: skip
        canvas.flat(s, z, BICYCLE, (frame, Bar((x0 * squeeze, y0), (x1 * squeeze, y1), 0.05)))


def draw_rider(canvas: Canvas, rng, s: float, z: float) -> None:
    """A bicycle from behind, with its rider."""
    draw_bicycle(canvas, rng, s, z, 0.15)
    draw_person(canvas, rng, s, z, RIDER, 0.35)


def draw_tree(canvas: Canvas, rng, s: float, z: float, form: str, height: float, colour) -> None:
    """form: round, tall, bush or palm; height in metres."""
    bark = canvas.ink(np.float32([0.36, 0.28, 0.22]) * rng.uniform(0.6, 1.1), VEGETATION, z)
    lit = ((0.5, (0, 0, -1)), (0.85, (0, 0.5, -0.5)), (1.1, (0, 1, 0)))
    tones = [canvas.ink(colour * k, VEGETATION, z, normal) for k, normal in lit]  # dark, middle, bright
    if form == "palm":
        _draw_palm(canvas, rng, s, z, height, bark, tones)
        return
    base = {"round": 0.3, "tall": 0.1, "bush": 0.0}[form] * height
    radius = {"round": 0.36, "tall": 0.15, "bush": 0.75}[form] * height
    middle, rise = (base + height) / 2, (height - base) / 2
    trunk = (bark, Bar((0, 0), (0, base + 0.3 * height), 0.045 * height))
    canvas.flat(s, z, VEGETATION, trunk, (tones[0], Ellipse(0, middle, 0.8 * radius, 0.85 * rise)))
    count = int(np.clip(1000 / z, 12, 90))
    turn, out = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count)) * 0.95
    lump = radius * rng.uniform(0.1, 0.3, count) * (1.2 if form == "tall" else 1.0)
    lumps = np.stack([radius * out * np.cos(turn), middle + rise * out * np.sin(turn), lump], 1).tolist()
    scale = 2 * canvas.view.focal / z
    for layer, (ink, grow) in enumerate(zip(tones, (1.2, 0.95, 0.6))):
        right, up = 0.12 * radius * layer * float(canvas.light.sun[0]), 0.1 * rise * layer
        for i in range(0, count, layer + 1):
            x, y, r = lumps[i]
            ((x, y),) = canvas.view.project([(s + x * (1 - 0.1 * layer) + right, y + up, z)], 2.0)
            r *= grow * scale
            canvas.pen.polygon([(x + r * a, y + r * b) for a, b in _LUMPS[(i + layer) % 8]], fill=ink)


def _draw_palm(canvas: Canvas, rng, s: float, z: float, height: float, bark: int, tones: list[int]) -> None:
    top = rng.normal(0, 0.5)
    canvas.flat(s, z, VEGETATION, (bark, Bar((0, 0), (top, height), 0.28)))
    for angle in rng.uniform(-0.6, np.pi + 0.6, 16):
        reach, droop = rng.uniform(1.4, 2.2), rng.uniform(0.5, 1.4)
        x, y = top + reach * np.cos(angle), height + reach * 0.6 * np.sin(angle) - droop
        bend, rise = top + 0.55 * (x - top), height + 0.5 * reach * np.sin(angle)
        leaf = [(top, height), (bend, rise + 0.4), (x, y), (bend, rise - 0.05)]
        canvas.flat(s, z, VEGETATION, (tones[rng.integers(3)], leaf))


def draw_lamp(canvas: Canvas, rng, s: float, z: float, side: float, height: float) -> None:
    """side: -1 left of the road, 1 right."""
    grey = canvas.ink([rng.uniform(0.2, 0.55)] * 3, POLE, z)
    canvas.flat(s, z, POLE, (grey, Bar((0, 0), (0, height), 0.14)))
    if rng.random() < 0.8:
        head = box(-side * 1.9 - 0.35, height + 0.2, -side * 1.9 + 0.35, height + 0.4)
        arm = Bar((0, height), (-side * 1.8, height + 0.3), 0.1)
        canvas.flat(s, z, POLE, (grey, arm), (grey, head))


def draw_signal(canvas: Canvas, rng, s: float, z: float, side: float, mast: bool, state: int) -> None:
    """Traffic lights; mast: with an arm over the road; state: 0 red, 1 amber, 2 green."""
    grey, heads = canvas.ink([rng.uniform(0.25, 0.5)] * 3, POLE, z), [(0.0, rng.uniform(2.4, 3.0))]
    canvas.flat(s, z, POLE, (grey, Bar((0, 0), (0, 5.6 if mast else heads[0][1] + 0.5), 0.14)))
    if mast:
        canvas.flat(s, z, POLE, (grey, Bar((0, 5.4), (-side * 5, 5.6), 0.12)))
        heads += [(-side * 2.6, 4.9), (-side * 4.8, 4.9)]
    dark = np.float32([0.08, 0.09, 0.08])
    rim = np.float32([0.75, 0.6, 0.1]) if mast else dark
    for x, y in heads:
        outer, inner = box(x - 0.24, y - 0.06, x + 0.24, y + 1.06), box(x - 0.2, y, x + 0.2, y + 1)
        canvas.flat(s, z, LIGHT, (rim, outer), (dark, inner))
        for i, colour in enumerate(((1, 0.1, 0.08), (1, 0.7, 0.1), (0.15, 1, 0.45))):
            light = Ellipse(x, y + 0.83 - 0.33 * i, 0.12, 0.12)
            canvas.flat(s, z, LIGHT, (np.float32(colour) * (1.3 if i == state else 0.25), light))


def draw_sign(canvas: Canvas, rng, s: float, z: float, look: str) -> None:
    """A traffic sign on its pole, of a kind that is common in this look."""
    top, r = rng.uniform(2.2, 3.2), rng.uniform(0.34, 0.5)
    canvas.flat(s, z, POLE, ([rng.uniform(0.4, 0.6)] * 3, Bar((0, 0), (0, top), 0.08)))
    red, white, black, yellow, blue = np.float32(
        [[0.8, 0.08, 0.08], [0.95, 0.95, 0.95], [0.08, 0.08, 0.08], [0.95, 0.75, 0.08], [0.08, 0.25, 0.7]]
    )
    y, wide, tall, turn = top - 0.35, rng.uniform(0.5, 0.9), rng.uniform(0.3, 0.4), np.pi * rng.integers(2)
    disc, guide = Ellipse(0, y, r, r), np.float32([0.05, 0.4, 0.2]) if look == "game" else blue
    arrow = [(-0.08, y - 0.2), (0.08, y - 0.2), (0.08, y + 0.05), (0, y + 0.25), (-0.08, y + 0.05)]
    faces = (
        [(red, disc), (white, Ellipse(0, y, 0.72 * r, 0.72 * r))],
        [(red, _ring(3, y, 1.15 * r, turn)), (white, _ring(3, y, 0.65 * r, turn))],
        [(blue, disc), (white, arrow)],
        [(black, _ring(4, y, 1.15 * r)), (yellow, _ring(4, y, 1.05 * r))],
        [(white, _ring(8, y, 1.1 * r, np.pi / 8)), (red, _ring(8, y, r, np.pi / 8))],
        [(white, box(-0.3, y - 0.45, 0.3, y + 0.45)), (black, box(-0.2, y - 0.06, 0.2, y + 0.06))],
        [(guide, box(-wide, y - tall, wide, y + tall)), (white, box(-wide * 0.7, y - 0.06, wide * 0.7, y + 0.06))],
    )
    odds = [0.06, 0.08, 0.06, 0.2, 0.1, 0.3, 0.2] if look == "game" else [0.26, 0.24, 0.2, 0.02, 0.04, 0.04, 0.2]
    canvas.flat(s, z, SIGN, *faces[rng.choice(7, p=odds)])
