"""Plans of drawn streets: the road, the lots, what stands and what moves, by the habits of a look.

Lengths are metres: s right of the camera's own path, z ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from ass_tf.streets import looks, textures, things
from ass_tf.streets.canvas import BUILDING, CAR, FENCE, ROAD, SIDEWALK, TERRAIN, VEGETATION, WALL, View
from ass_tf.streets.looks import FACADE
from ass_tf.streets.textures import BARS, BOARDS, GLASS, HEDGE, HOUSE, MASONRY
from ass_tf.streets.vehicles import VEHICLES, draw_vehicle

FAR = 140  # metres that are drawn
SCREENS = ((HEDGE, VEGETATION), (BOARDS, FENCE), (BARS, FENCE), (BARS, FENCE), (MASONRY, WALL))
PLAIN, GRASS, SIDE_ROAD = range(3)  # what the ground of a lot is


class Face(NamedTuple):
    """An upright surface along the road, with an end that is turned to the camera."""

    facade: int  # row of Street.facades
    offset: float  # s
    z0: float  # where it begins
    z1: float
    back: float  # s of the end's other edge
    gable: float  # height of the end's middle above its edges


class Thing(NamedTuple):
    """What stands or moves in a street."""

    z: float
    s: float
    half_width: float
    half_length: float
    height: float
    draw: Callable[..., None]  # takes a canvas, a random generator, s and z
    has_crown: bool  # casts a shadow as a tree does


@dataclass
class Street:
    """Plan of one scene: where the road ends, what stands on the lots, what moves."""

    view: View
    light: looks.Light
    mid: float  # s of the road's middle
    half: float  # half its width
    lane: float
    lanes: int
    parking: float  # width of the strip for parked cars on both sides
    verge: tuple[float, float]  # widths left and right
    walk: tuple[float, float]
    median: float
    median_label: int
    end: float  # depth of a road across, or beyond FAR
    crossing: float  # depth of a zebra crossing, or 0
    yellow: bool
    lots: np.ndarray  # uint8 (2, n). Ground of the lots by metre
    tops: np.ndarray  # float32 (2, n). Height of what casts a shadow there
    facades: np.ndarray  # FACADE (m,)
    faces: list[Face]

    BEHIND = 20  # metres behind the camera where `lots` and `tops` begin

    def front(self, i: int) -> float:
        """s at which the lots of side i (0 left, 1 right) begin."""
        return self.mid + (2 * i - 1) * (self.half + self.verge[i] + self.walk[i])

    def by_metre(self, table, i, z):
        return table[i, np.asarray(z + self.BEHIND).clip(0, table.shape[1] - 1).astype(np.int32)]

    def in_shadow(self, s, y, z):
        """Whether a building keeps the sun from the points: arrays of one shape -> bool."""
        result = np.zeros(np.shape(s), bool)
        for i in (0, 1):
            reach = (1 - 2 * i) * self.light.shadow[0]
            if reach > 0.02:
                rise = np.maximum((2 * i - 1) * (self.front(i) - s), 0) / reach
                result |= self.by_metre(self.tops, i, z - self.light.shadow[1] * rise) - y > rise
        return result

    def ground(self, s, z):
        """What lies on the ground.

        Args:
            s, z: float32 (h, w). Metres right and ahead.

        Returns:
            label: uint8 (h, w).
            white, yellow: float32 (h, w). Share of the pixel that is marking.
            kerb: float32 (h, w). Metres past the road's edge; 9 where there is no kerb.
        """
        right = (s > self.mid).astype(np.int32)
        beyond = np.abs(s - self.mid) - self.half  # metres past the road's edge
        verge, walk = np.float32(self.verge)[right], np.float32(self.walk)[right]
        lot = self.by_metre(self.lots, right, z)
        label = np.where(lot == GRASS, TERRAIN, SIDEWALK).astype(np.uint8)
        label[beyond < verge + walk] = SIDEWALK
        label[(beyond < verge) & (beyond > 0.25)] = TERRAIN
        if self.median:
            label[np.abs(s - self.mid) < self.median / 2] = self.median_label
            road = (beyond < 0) & (np.abs(s - self.mid) >= self.median / 2)
        else:
            road = beyond < 0
        across = (lot == SIDE_ROAD) | ((z > self.end - 9) & (z < self.end))
        label[road | (across & (beyond >= 0))] = ROAD
        fine = np.maximum(z / self.view.focal, 0.005)
        deep = np.minimum(z * fine / self.view.eye, 30)
        cover = textures.cover
        white, yellow = np.zeros((2, *s.shape), np.float32)
        first = self.mid - self.half + self.parking
        dash = cover(np.mod(z, 9.0), 0.0, 3.5, 9.0, deep)
        for i in range(self.lanes + 1):
            at = first + i * self.lane
            if self.yellow and 2 * i == self.lanes:
                yellow += cover(np.abs(s - at), 0.08, 0.22, 1e3, fine)
            else:
                line = cover(s, at - 0.07, at + 0.07, 1e3, fine)
                white = np.maximum(white, line if i in (0, self.lanes) else line * dash)
        white[across], yellow[across] = 0, 0
        if self.crossing:
            here = cover(z, self.crossing, self.crossing + 3.2, 1e3, deep)
            stop = cover(z, self.crossing - 1.6, self.crossing - 1.2, 1e3, deep) * (s > self.mid)
            stripes = cover(np.mod(s, 1.0), 0.0, 0.5, 1.0, fine) * here
            white, yellow = np.maximum(white * (1 - here), np.maximum(stripes, stop)), yellow * (1 - here)
        return label, white * (label == ROAD), yellow * (label == ROAD), np.where(across, 9.0, beyond)


def plan_street(look: str, rng, h: int, w: int) -> Street:
    """Draws the plan of a scene from the look's habits; sizes h and w in pixels."""
    habits, light = looks.LOOKS[look], looks.sample_light(look, rng)
    lanes, lane = int(rng.choice(habits.lanes)), rng.uniform(*habits.lane)
    parking = 2.2 if lanes < 4 and rng.random() < 0.5 else 0.0
    half = lanes * lane / 2 + parking
    mine = int(rng.integers(lanes // 2, lanes))  # the camera's lane: traffic keeps right
    view = View(
        h, w, w * rng.uniform(*habits.focal), w * (0.5 + rng.normal(0, 0.05)), h * rng.uniform(*habits.horizon),
        rng.uniform(*habits.eye), rng.normal(0, 0.004) * (rng.random() < 0.6),
    )  # fmt: skip
    n = FAR + 2 * Street.BEHIND
    street = Street(
        view, light, mid=(lanes / 2 - mine - 0.5) * lane + rng.normal(0, 0.3), half=half, lane=lane, lanes=lanes,
        parking=parking, verge=tuple(np.where(rng.random(2) < habits.verge, rng.uniform(1, 3.5, 2), 0.0).tolist()),
        walk=tuple(rng.uniform(*habits.walk, 2).tolist()),
        median=rng.uniform(0.8, 2.5) if lanes >= 4 and rng.random() < 0.4 else 0.0,
        median_label=int(rng.choice([TERRAIN, SIDEWALK])), end=rng.uniform(40, 110) if rng.random() < 0.2 else 1e4,
        crossing=rng.uniform(8, 35) if rng.random() < 0.4 else 0.0,
        yellow=bool(rng.random() < habits.yellow) and lanes % 2 == 0,
        lots=np.zeros((2, n), np.uint8), tops=np.zeros((2, n), np.float32), facades=np.zeros(0, FACADE), faces=[],
    )  # fmt: skip
    rows, scale, gap = [], rng.uniform(0.5, 1.3), np.clip(habits.gap * rng.uniform(0.2, 2.2), 0, 0.85)

    def add(kind, label, height, offset, z0, z1, deep, gable=0.0):
        rows.append(looks.sample_facade(look, rng, kind, label, height))
        street.faces.append(Face(len(rows) - 1, offset, z0, z1, offset + deep, gable))

    def screen(offset, z0, z1, sign):
        kind, label = SCREENS[rng.integers(len(SCREENS))]
        add(kind, label, rng.uniform(0.9, 2.0), offset, z0, z1, sign * (1.2 if kind == HEDGE else 0.15))

    for i, sign in enumerate((-1, 1)):
        z = rng.uniform(-14, 0)
        while z < FAR:
            front, span = street.front(i), slice(int(z) + Street.BEHIND, None)
            if rng.random() < gap:
                length = rng.uniform(6, 15)
                use = rng.choice([PLAIN, GRASS, GRASS, SIDE_ROAD])
                street.lots[i, span], street.tops[i, span] = use, 0
                if use != SIDE_ROAD:
                    screen(front + sign * 0.2, z, z + length, sign)
            else:
                length, setback = rng.uniform(7, 22), rng.uniform(*habits.setback) * (rng.random() < 0.5)
                tower = rng.random() < habits.tower
                storeys = rng.uniform(7, 18) if tower else max(1, rng.uniform(*habits.storeys) * scale)
                tall = 3.4 * storeys
                street.lots[i, span], street.tops[i, span] = GRASS if setback > 1.5 else PLAIN, tall
                gable = rng.uniform(1, 3) if tall < 14 and rng.random() < 0.4 else 0.0
                kind, deep = GLASS if tower and rng.random() < 0.6 else HOUSE, sign * rng.uniform(9, 14)
                add(kind, BUILDING, tall, front + sign * (0.1 + setback), z, z + length, deep, gable)
                if setback > 1.5 and rng.random() < 0.6:
                    screen(front + sign * 0.2, z, z + length, sign)
            z += length
    if street.end < FAR:
        for s in (-60.0, -40.0, -20.0, 0.1, 20.0, 40.0):
            add(HOUSE, BUILDING, rng.uniform(8, 20), s, street.end + 4, street.end + 5, 20.0)
    street.facades = np.array([tuple(row[field] for field in FACADE.names) for row in rows], FACADE)
    return street


def place_things(street: Street, look: str, rng) -> list[Thing]:
    """What stands and moves in a street, the farthest first."""
    habits, found = looks.LOOKS[look], []
    busy = rng.gamma(2.0, 0.5, 5)  # how full of each sort of thing this scene is
    kerbs = [street.mid + sign * street.half for sign in (-1, 1)]
    junction, mast = street.crossing or rng.uniform(12, 40), bool(rng.random() < (0.7 if look == "game" else 0.2))
    lit, state = rng.random() < habits.lights, int(rng.integers(3))

    def add(z, s, half_width, half_length, height, draw, has_crown=False):
        found.append(Thing(float(z), float(s), half_width, half_length, height, draw, has_crown))

    def vehicle(s, z, heading):
        form = VEHICLES[rng.choice(len(VEHICLES), p=[vehicle.share for vehicle in VEHICLES])]
        if z - form.length * abs(np.cos(heading)) / 2 < 3.5 + 2 * (abs(s) < 2.5):
            return
        if rng.random() < (0.35 if look == "game" else 0.7):
            colour = np.float32([1, 1, 1]) * rng.choice([0.05, 0.1, 0.25, 0.45, 0.65, 0.85, 0.92])
        else:
            ranges = ((0.5, 0.95), (0.35, 0.95)) if look == "game" else ((0.3, 0.8), (0.15, 0.6))
            colour = textures.paint_colour(rng, (0.0, 0.03, 0.12, 0.33, 0.55, 0.6, 0.63), *ranges)
        half_width, half_length = (max(form.width, abs(f(heading)) * form.length) / 2 for f in (np.sin, np.cos))
        draw = partial(draw_vehicle, form=form, colour=colour, heading=heading)
        add(z, s, half_width, half_length, 1.3 if form.label == CAR else 3.0, draw)

    for i, sign in enumerate((-1, 1)):
        kerb, outer = kerbs[i], street.front(i)
        for z in np.arange(rng.uniform(3, 9), min(90, street.end - 12), 6.2):
            odds = habits.parked * 6 * busy[0] * (2.0 if street.parking else 0.4)
            if street.by_metre(street.lots, i, z) != SIDE_ROAD and rng.random() < odds:
                heading = (0.0 if sign > 0 or rng.random() < 0.3 else np.pi) + rng.normal(0, 0.02)
                vehicle(kerb - sign * rng.uniform(1.05, 1.25), z + rng.uniform(-0.4, 0.4), heading)
        for _ in range(rng.poisson(90 * habits.people * busy[1])):
            z, s = 4 + 60 * rng.random() ** 1.5, kerb + (outer - kerb) * rng.uniform(0.1, 0.95)
            for _ in range(rng.choice([1, 1, 1, 2, 3])):
                s, z = s + rng.uniform(-0.6, 0.6), z + rng.uniform(-0.3, 0.5)
                add(z, s, 0.22, 0.15, 1.6, things.draw_person)
        for _ in range(rng.poisson(45 * habits.bicycles * busy[2])):
            squeeze = rng.uniform(0.3, 1.0)
            z, s = rng.uniform(5, 40), kerb + sign * rng.uniform(0.4, 1.2)
            add(z, s, 0.4 * squeeze, 0.2, 0.8, partial(things.draw_bicycle, squeeze=squeeze))
        form, leaf = rng.choice(["round", "round", "tall", "bush"]), textures.leaf_colour(look, rng)
        form = "palm" if rng.random() < habits.palms else form
        avenue = rng.random() < 0.4
        spots = np.arange(rng.uniform(4, 16), 110, rng.uniform(7, 16))
        for z in spots if avenue else rng.uniform(5, 110, rng.poisson(110 * habits.trees * busy[3])):
            lot = street.by_metre(street.lots, i, z)
            if lot != SIDE_ROAD:
                garden = lot == GRASS and not avenue
                s = outer + sign * rng.uniform(1.5, 7) if garden else kerb + sign * rng.uniform(0.6, 1.0)
                height = rng.uniform(0.8, 1.8) if form == "bush" else rng.uniform(4, 11)
                colour = np.clip(leaf * rng.uniform(0.85, 1.15), 0, 1)
                draw = partial(things.draw_tree, form=form, height=height, colour=colour)
                add(z, s, 0.25 * height, 0.25 * height, height, draw, has_crown=height > 2.5)
        tall = rng.uniform(4.5, 9)
        for z in np.arange(rng.uniform(4, 20), 110, 1 / habits.poles * rng.uniform(0.6, 1.5)):
            add(z, kerb + sign * 0.5, 0.08, 0.08, tall, partial(things.draw_lamp, side=sign, height=tall))
        for z in rng.uniform(5, 55, rng.poisson(60 * habits.signs)):
            add(z, kerb + sign * rng.uniform(0.4, 0.9), 0.3, 0.05, 2.8, partial(things.draw_sign, look=look))
        for z in (junction, junction + rng.uniform(10, 16)) if lit else ():
            draw = partial(things.draw_signal, side=sign, mast=mast, state=state)
            add(z, kerb + sign * 0.4, 0.08, 0.08, 4, draw)
    for j in range(street.lanes):
        z, at = rng.uniform(8, 40), street.mid - street.half + street.parking + (j + 0.5) * street.lane
        while z < min(110, street.end - 12):
            if rng.random() < 26 * habits.traffic * busy[4]:
                vehicle(at + rng.normal(0, 0.15), z, 0.0 if j >= street.lanes // 2 else np.pi)
            if rng.random() < habits.bicycles * 6:
                add(z + 8, at + 0.35 * street.lane, 0.25, 0.7, 1.7, things.draw_rider)
            z += rng.uniform(12, 34)
    if street.end < FAR and rng.random() < 0.7:
        vehicle(rng.uniform(-9, 9), street.end - 4.5, np.pi / 2 * rng.choice([-1, 1]))
    if street.crossing and rng.random() < 0.6:
        for s in rng.uniform(*kerbs, rng.integers(1, 5)):
            add(street.crossing + rng.uniform(0.5, 2.5), s, 0.22, 0.15, 1.6, things.draw_person)
    return sorted(found, key=lambda thing: -thing.z)
