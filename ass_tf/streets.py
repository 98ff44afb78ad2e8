"""Draws street scenes with exact labels from a seed, in two looks that differ as a game differs from a camera.

A scene is a bending road seen through a pinhole camera: ground pixels are found by inverse perspective, upright
surfaces (facades, fences, hedges) column by column, things (cars, people, trees, poles) as polygons at twice the size.
Labels come from the same geometry as the image. How it all looks is left to `street_looks`, reading to `datasets`.

    python -m ass_tf.streets OUT [--source 300] [--target 120] [--val 40] [--size 256x512] [--seed 0]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ass_tf import labels, street_looks
from ass_tf.street_looks import (
    BARS,
    BOARDS,
    BUILDING,
    CAR,
    FACADE,
    FENCE,
    GLASS,
    HEDGE,
    HOUSE,
    MASONRY,
    ROAD,
    SIDEWALK,
    SKY,
    TERRAIN,
    VEGETATION,
    VEHICLES,
    WALL,
    Things,
    View,
)

LOOKS = ("game", "camera")
CITIES = {"train": "drawnville", "val": "penciltown", "test": "inkstadt"}
FAR = 140  # metres that are drawn
SCREENS = ((HEDGE, VEGETATION), (BOARDS, FENCE), (BARS, FENCE), (BARS, FENCE), (MASONRY, WALL))
PLAIN, GRASS, SIDE_ROAD = range(3)  # what the ground of a lot is


@dataclass
class Street:
    """Plan of one scene: where the road ends, what stands on the lots, what moves."""

    view: View
    light: street_looks.Light
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
    faces: list[tuple[int, float, float, float, float, float]]  # facade, offset, z0, z1, far offset, gable

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
        cover = street_looks.cover
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
    habits, light = street_looks.LOOKS[look], street_looks.sample_light(look, rng)
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
        rows.append(street_looks.sample_facade(look, rng, kind, label, height))
        street.faces.append((len(rows) - 1, offset, z0, z1, offset + deep, gable))

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
    street.facades = np.array(rows, FACADE)
    return street


def raster_faces(street: Street, depth, see_through: bool):
    """Upright surfaces nearer than `depth`, painted from far to near.

    Args:
        street: Street.
        depth: float32 (h, w). Lowered in place where a surface is nearer.
        see_through: bool. Fences of bars alone, or everything else.

    Returns:
        shown: int16 (h, w). 2 x facade, + 1 on its end towards the camera; -1 where there is none.
    """
    view = street.view
    shown = np.full((view.h, view.w), -1, np.int16)
    rows, columns = np.arange(view.h, dtype=np.float32)[:, None] + 0.5, np.arange(view.w) + 0.5

    def fill(mark, z, height, use):
        found = np.flatnonzero(use)
        if not len(found):
            return
        c0, c1 = found[0], found[-1] + 1
        z, height, use = (np.broadcast_to(x, view.w)[c0:c1] for x in (z, height, use))
        top, bottom = view.horizon - view.focal * (height - view.eye) / z, view.horizon + view.focal * view.eye / z
        r0, r1 = max(0, int(top[use].min())), min(view.h, int(bottom[use].max()) + 2)
        block = (slice(r0, r1), slice(c0, c1))
        inside = (rows[r0:r1] >= top) & (rows[r0:r1] < bottom) & use & (z < depth[block])
        np.copyto(shown[block], mark, where=inside)
        np.copyto(depth[block], z.astype(np.float32), where=inside)

    for index, offset, z0, z1, far, gable in sorted(street.faces, key=lambda face: (-face[3], -abs(face[1]))):
        if (street.facades["kind"][index] == BARS) != see_through or z1 < 1:
            continue
        height = street.facades["height"][index]
        z = view.wall_depth(offset)
        fill(2 * index, np.where(np.isfinite(z), z, 1e6), height, (z >= max(z0, 1)) & (z < z1))
        if z0 > 1.5:
            s = (columns - view.centre) / view.focal * z0 - view.curve * z0 * z0 / 2
            middle, half = (offset + far) / 2, abs(far - offset) / 2
            fill(
                2 * index + 1,
                np.full(view.w, z0),
                height + gable * (1 - np.abs(s - middle) / half),
                np.abs(s - middle) <= half,
            )
    return shown


def place_things(street: Street, look: str, rng) -> list[tuple]:
    """What stands and moves in a street.

    Returns:
        things: list of (z, s, half width, half length, height, name of a method of Things, its further arguments), the
            farthest first; metres.
    """
    habits, things = street_looks.LOOKS[look], []
    busy = rng.gamma(2.0, 0.5, 5)  # how full of each sort of thing this scene is
    kerbs = [street.mid + sign * street.half for sign in (-1, 1)]
    junction, mast = street.crossing or rng.uniform(12, 40), bool(rng.random() < (0.7 if look == "game" else 0.2))
    lit, state = rng.random() < habits.lights, int(rng.integers(3))

    def add(name, z, s, wide, deep, height, *more):
        things.append((float(z), float(s), wide, deep, height, name, more))

    def vehicle(s, z, heading):
        kind = list(VEHICLES)[rng.choice(6, p=[0.36, 0.3, 0.19, 0.09, 0.03, 0.03])]
        label, (length, width), *_ = VEHICLES[kind]
        if z - length * abs(np.cos(heading)) / 2 < 3.5 + 2 * (abs(s) < 2.5):
            return
        if rng.random() < (0.35 if look == "game" else 0.7):
            colour = np.float32([1, 1, 1]) * rng.choice([0.05, 0.1, 0.25, 0.45, 0.65, 0.85, 0.92])
        else:
            ranges = ((0.5, 0.95), (0.35, 0.95)) if look == "game" else ((0.3, 0.8), (0.15, 0.6))
            colour = street_looks.paint_colour(rng, (0.0, 0.03, 0.12, 0.33, 0.55, 0.6, 0.63), *ranges)
        wide, deep = (max(width, abs(f(heading)) * length) / 2 for f in (np.sin, np.cos))
        add("vehicle", z, s, wide, deep, 1.3 if label == CAR else 3.0, kind, colour, heading)

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
                add("person", z, s, 0.22, 0.15, 1.6)
        for _ in range(rng.poisson(45 * habits.bicycles * busy[2])):
            squeeze = rng.uniform(0.3, 1.0)
            add("bicycle", rng.uniform(5, 40), kerb + sign * rng.uniform(0.4, 1.2), 0.4 * squeeze, 0.2, 0.8, squeeze)
        form, leaf = rng.choice(["round", "round", "tall", "bush"]), street_looks.leaf_colour(look, rng)
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
                add("tree", z, s, 0.25 * height, 0.25 * height, height, form, height, colour)
        tall = rng.uniform(4.5, 9)
        for z in np.arange(rng.uniform(4, 20), 110, 1 / habits.poles * rng.uniform(0.6, 1.5)):
            add("lamp", z, kerb + sign * 0.5, 0.08, 0.08, tall, sign, tall)
        for z in rng.uniform(5, 55, rng.poisson(60 * habits.signs)):
            add("sign", z, kerb + sign * rng.uniform(0.4, 0.9), 0.3, 0.05, 2.8, look)
        for z in (junction, junction + rng.uniform(10, 16)) if lit else ():
            add("signal", z, kerb + sign * 0.4, 0.08, 0.08, 4, sign, mast, state)
    for j in range(street.lanes):
        z, at = rng.uniform(8, 40), street.mid - street.half + street.parking + (j + 0.5) * street.lane
        while z < min(110, street.end - 12):
            if rng.random() < 26 * habits.traffic * busy[4]:
                vehicle(at + rng.normal(0, 0.15), z, 0.0 if j >= street.lanes // 2 else np.pi)
            if rng.random() < habits.bicycles * 6:
                add("rider", z + 8, at + 0.35 * street.lane, 0.25, 0.7, 1.7)
            z += rng.uniform(12, 34)
    if street.end < FAR and rng.random() < 0.7:
        vehicle(rng.uniform(-9, 9), street.end - 4.5, np.pi / 2 * rng.choice([-1, 1]))
    if street.crossing and rng.random() < 0.6:
        for s in rng.uniform(*kerbs, rng.integers(1, 5)):
            add("person", street.crossing + rng.uniform(0.5, 2.5), s, 0.22, 0.15, 1.6)
    return sorted(things, key=lambda thing: -thing[0])


def shadow_masks(street: Street, things) -> np.ndarray:
    """Shares of the sunlight (0) and of all light (1) that things keep from the ground: float32 (2, h, w)."""
    view, fall = street.view, np.array([street.light.shadow[0], 0, street.light.shadow[1]])
    masks = [Image.new("L", (view.w, view.h)) for _ in range(2)]
    pens, sunny = [ImageDraw.Draw(mask) for mask in masks], street.light.direct[0] > 0.15

    def fill(pen, outline, strength):
        if outline[:, 2].min() > 1.5:
            pen.polygon(view.project(outline.tolist()), fill=strength)

    for z, s, wide, deep, height, name, _ in things:
        if z > 45:
            continue
        slim, crown = deep < 0.2, name == "tree" and height > 2.5
        turn = np.linspace(0, 2 * np.pi, 10, endpoint=False) if crown else np.pi * np.array([0.25, 0.75, 1.25, 1.75])
        outline = np.stack([s + 1.41 * wide * np.cos(turn), 0 * turn, z + 1.41 * deep * np.sin(turn)], 1)
        if not (crown or wide < 0.1):
            fill(pens[1], outline, 190)
        if sunny and not slim:
            for step in (0.55, 0.7, 0.9) if crown else (0, 0.33, 0.66, 1):
                fill(pens[0], outline + fall * height * step, 255)
        if sunny and (slim or crown):
            foot = np.array([[s - min(wide, 0.15), 0, z], [s + min(wide, 0.15), 0, z]])
            fill(pens[0], np.concatenate([foot, foot[::-1] + fall * height * 0.8]), 255)
    soft = ImageFilter.BoxBlur(view.h / 256)
    return np.stack([np.asarray(mask.filter(soft), np.float32) / 255 for mask in masks])


def draw_scene(look: str, seed: int, size: tuple[int, int] = (256, 512)) -> tuple[np.ndarray, np.ndarray]:
    """One street and its labels, a pure function of the arguments.

    Args:
        look: "game" or "camera".
        seed: int, at least 0.
        size: (h, w) in pixels, at least 32 x 32.

    Returns:
        image: uint8 (h, w, 3).
        label: uint8 (h, w). Raw Cityscapes ids, from the same geometry as the image.

    Raises:
        ValueError: `look` or `size` is not one of these.
    """
    if look not in LOOKS:
        raise ValueError(f"look must be one of {', '.join(LOOKS)}. Received: {look}.")
    h, w = size
    if min(h, w) < 32:
        raise ValueError(f"size must be at least 32x32. Received: {h}x{w}.")
    rng = np.random.default_rng([LOOKS.index(look), seed])
    street = plan_street(look, rng, h, w)
    view, light = street.view, street.light
    things = place_things(street, look, rng)
    salt = rng.random()

    rows, columns = np.arange(h, dtype=np.float32)[:, None] + 0.5, np.arange(w, dtype=np.float32) + 0.5
    across = np.broadcast_to((columns - view.centre).astype(np.float32) / view.focal, (h, w))
    down = np.broadcast_to((rows - view.horizon).astype(np.float32) / view.focal, (h, w))
    image, label = np.empty((3, h, w), np.float32), np.full((h, w), SKY, np.uint8)
    depth = np.full((h, w), np.inf, np.float32)

    cut = int(np.clip(np.ceil(view.horizon), 1, h - 1))
    image[:, :cut] = street_looks.paint_sky(light, across[:cut], np.maximum(-down[:cut], 0), salt)
    skyline(street, look, rng, image, label, depth, cut)

    z = np.minimum(view.eye / np.maximum(down[cut:], 1e-4), 600).astype(np.float32)
    s = across[cut:] * z - view.curve / 2 * np.minimum(z, FAR) ** 2
    label[cut:], white, yellow, kerb = street.ground(s, z)
    sun, sky = shadow_masks(street, things)[:, cut:]
    sun = np.maximum(sun, street.in_shadow(s, 0.0, z))
    lit = light.ambient[:, None, None] + (light.direct * max(light.sun[1], 0.15))[:, None, None] * (1 - sun)
    road, grass = label[cut:] == ROAD, label[cut:] == TERRAIN
    image[:, cut:] = street_looks.paint_ground(look, rng, road, grass, s, z, view.focal, white, yellow, kerb)
    image[:, cut:] *= lit * (1 - sky)
    depth[cut:] = z

    for see_through in (False, True):
        draw_faces(street, image, label, depth, see_through)
    canvas = Things(view, light)
    for z, s, _, _, height, name, more in things:
        canvas.sunlit = 0.15 if street.in_shadow(s, height / 2, z) else 1.0
        getattr(canvas, name)(rng, s, z, *more)
    compose(canvas, image, label, depth)
    leaves = np.flatnonzero(label == VEGETATION)
    z = np.minimum(depth.ravel()[leaves], 300)
    x, y = across.ravel()[leaves] * z, down.ravel()[leaves] * z
    noise = 0.22 * street_looks.grain(x, y, 16, salt) + 0.16 * street_looks.grain(x, y, 90, 1 - salt)
    image.reshape(3, -1)[:, leaves] *= np.clip(1 + noise, 0.35, 1.7)
    return street_looks.develop(image, depth, look, light, rng), label


def draw_faces(street: Street, image, label, depth, see_through: bool) -> None:
    """Facades, fences and hedges with sun and shadow, written into the arrays; see `raster_faces`."""
    view, light = street.view, street.light
    shown = raster_faces(street, depth, see_through)
    at = np.flatnonzero(shown >= 0)
    if not len(at):
        return
    row, column = np.divmod(at, view.w)
    face, z = shown.ravel()[at], depth.ravel()[at]
    facade, end = face >> 1, face & 1 == 1
    s = ((column + 0.5 - view.centre) / view.focal).astype(np.float32) * z - view.curve / 2 * z * z
    y = view.eye - ((row + 0.5 - view.horizon) / view.focal).astype(np.float32) * z
    offsets = np.array([face[1] for face in street.faces], np.float32)[facade]
    footprint = z / view.focal * np.where(end, 1, z / np.maximum(np.abs(offsets), 0.5))
    towards = np.array([light.face(-1, 0, 0), light.face(1, 0, 0), light.face(0, 0, -1)], np.float32) - light.ambient
    sun = np.take(towards.T, np.where(end, 2, offsets < 0), 1) * ~street.in_shadow(s, y, z)
    lit = light.ambient[:, None] * np.float32(0.95) + sun
    colour, alpha = street_looks.paint_surfaces(street.facades, facade, np.where(end, s, z + 40), y, footprint, lit)
    flat = image.reshape(3, -1)
    under = flat[:, at]
    flat[:, at] = under + (colour - under) * alpha
    label.ravel()[at] = street.facades["label"][facade]


def skyline(street: Street, look: str, rng, image, label, depth, cut: int) -> None:
    """Far trees and houses above the horizon, written into the arrays."""
    view = street.view
    far, x = FAR * 1.7, np.arange(view.w) / view.w
    wood = sum(np.sin(x * f + rng.uniform(0, 6)) * 9 / f for f in (7, 19, 43, 97, 211)) + rng.uniform(3, 9)
    starts = np.sort(rng.random(14))
    town = rng.uniform(0, 24 if rng.random() < 0.6 else 8, 15)[np.searchsorted(starts, x)]
    tint = np.float32(rng.uniform(0.35, 0.75, (15, 3)))[np.searchsorted(starts, x)] * 0.3 + 0.35
    for heights, colour, what in ((town, tint, BUILDING), (wood, street_looks.leaf_colour(look, rng), VEGETATION)):
        top = view.horizon - view.focal * (heights - view.eye) / far
        first = max(0, int(top.min()))
        inside = np.arange(first, cut)[:, None] + 0.5 >= top
        lit = np.float32(colour) * (street.light.ambient + 0.4 * street.light.direct)
        np.copyto(image[:, first:cut], lit.reshape(-1, 3).T[:, None], where=inside)
        label[first:cut][inside], depth[first:cut][inside] = what, far


def compose(canvas: Things, image, label, depth) -> None:
    """Puts the things on the picture where they are nearer than what is there, edges smooth in the image alone."""
    inks = np.asarray(canvas.canvas, np.int32)
    inks = [inks[i::2, j::2].ravel() for i in (0, 1) for j in (0, 1)]
    at = np.flatnonzero(inks[0] | inks[1] | inks[2] | inks[3])
    colours = np.array([ink[0] for ink in canvas.inks], np.float32).T
    ids = np.array([ink[1] for ink in canvas.inks], np.uint8)
    depths = np.array([ink[2] for ink in canvas.inks], np.float32)
    behind, reach = depth.ravel()[at], depths * np.float32(0.985) - np.float32(0.3)
    flat = image.reshape(3, -1)
    under = flat[:, at]
    total = np.zeros_like(under)
    for layer in inks:
        ink = layer[at]
        near = reach[ink] < behind
        total += np.where(near, np.take(colours, ink, 1), under)
    flat[:, at] = total / 4
    label.ravel()[at[near]] = ids[ink[near]]
    depth.ravel()[at[near]] = depths[ink[near]]


def _write(path: Path, image: Image.Image) -> None:
    """Writes a PNG so that a killed process leaves no half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    image.save(part, "PNG")
    os.replace(part, path)


def _draw_files(job: tuple[str, int, tuple[int, int], Path, Path]) -> None:
    look, seed, size, image_path, label_path = job
    if image_path.exists() and label_path.exists():
        return
    image, label = draw_scene(look, seed, size)
    if not image_path.exists():
        _write(image_path, Image.fromarray(image))
    if not label_path.exists():
        picture = Image.fromarray(label)
        if look == "game":
            picture = Image.fromarray(label, "P")
            picture.putpalette(labels.gta5_palette())
        _write(label_path, picture)


def _draw_all(jobs) -> None:
    if len(jobs) <= 16:
        for job in jobs:
            _draw_files(job)
        return
    # A fork would copy TensorFlow's threads in an unusable state.
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        for _ in pool.map(_draw_files, jobs, chunksize=4):
            pass


def write_gta5(root: Path, count: int, seed: int, size: tuple[int, int]) -> None:
    """Draws game scenes in the layout of GTA5's download; files that exist are kept.

    Args:
        root: folder that gets images/00001.png and labels/00001.png (palette PNG, index = raw id) and so on.
        count: int, pictures.
        seed: int, at least 0.
        size: (h, w) in pixels.
    """
    names = [f"{i:05d}.png" for i in range(1, count + 1)]
    root = Path(root)
    _draw_all(
        [("game", seed * 1_000_000 + i, size, root / "images" / n, root / "labels" / n) for i, n in enumerate(names)]
    )


def write_cityscapes(root: Path, counts: dict[str, int], seed: int, size: tuple[int, int]) -> None:
    """Draws camera scenes in Cityscapes' layout; files that exist are kept.

    Args:
        root: folder that gets leftImg8bit/<split>/<city>/ and gtFine/<split>/<city>/ (grey PNG of raw ids).
        counts: pictures by split: train, val, test.
        seed: int, at least 0.
        size: (h, w) in pixels.

    Raises:
        ValueError: a split is not one of CITIES.
    """
    jobs, root = [], Path(root)
    for split, count in counts.items():
        if split not in CITIES:
            raise ValueError(f"counts must name splits among {', '.join(CITIES)}. Received: {split}.")
        city, first = CITIES[split], seed * 1_000_000 + 250_000 * (1 + list(CITIES).index(split))
        for i in range(count):
            stem = f"{city}_{i:06d}_000019"
            image = root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
            label = root / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png"
            jobs.append(("camera", first + i, size, image, label))
    _draw_all(jobs)


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or min(map(int, parts)) < 32:
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTH, each at least 32. Received: {text}.")
    return int(parts[0]), int(parts[1])


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0. Received: {text}.")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ass_tf.streets", description="Draw two street data sets.")
    parser.add_argument("out", type=Path, metavar="OUT")
    for name, default in (("source", 300), ("target", 120), ("val", 40), ("seed", 0)):
        parser.add_argument(f"--{name}", type=_count, default=default)
    parser.add_argument("--size", type=_size, default=(256, 512), metavar="HxW")
    parser.error = lambda message: (print(message, file=sys.stderr), sys.exit(2))
    given = parser.parse_args(arguments)
    try:
        write_gta5(given.out / "gta5", given.source, given.seed, given.size)
        write_cityscapes(given.out / "cityscapes", {"train": given.target, "val": given.val}, given.seed, given.size)
    except OSError as error:
        print(f"OUT must be a folder that can be written. Received: {given.out} ({error.strerror}).", file=sys.stderr)
        return 1
    h, w = given.size
    print(f"{given.out}: {given.source} game and {given.target} + {given.val} camera scenes of {h}x{w}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
