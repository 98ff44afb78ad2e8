"""One street scene: image and exact labels from a look and a seed.

A scene is a bending road seen through a pinhole camera: ground pixels are found by inverse perspective, upright
surfaces (facades, fences, hedges) column by column, things (cars, people, trees, poles) as polygons at twice the size.
Labels come from the same geometry as the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ass_tf.streets import looks, textures
from ass_tf.streets.canvas import BUILDING, ROAD, SKY, TERRAIN, VEGETATION, Canvas
from ass_tf.streets.plan import FAR, Street, Thing, place_things, plan_street
from ass_tf.streets.textures import BARS

LOOKS = ("game", "camera")  # a look's place here is part of every scene's seed


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

    for face in sorted(street.faces, key=lambda face: (-face.z1, -abs(face.offset))):
        if (street.facades["kind"][face.facade] == BARS) != see_through or face.z1 < 1:
            continue
        height, z0 = street.facades["height"][face.facade], face.z0
        z = view.wall_depth(face.offset)
        fill(2 * face.facade, np.where(np.isfinite(z), z, 1e6), height, (z >= max(z0, 1)) & (z < face.z1))
        if z0 > 1.5:
            s = (columns - view.centre) / view.focal * z0 - view.curve * z0 * z0 / 2
            half = abs(face.back - face.offset) / 2
            aside = np.abs(s - (face.offset + face.back) / 2)  # from the end's middle
            fill(2 * face.facade + 1, np.full(view.w, z0), height + face.gable * (1 - aside / half), aside <= half)
    return shown


def shadow_masks(street: Street, things: Sequence[Thing]) -> np.ndarray:
    """Shares of the sunlight (0) and of all light (1) that things keep from the ground: float32 (2, h, w)."""
    view, fall = street.view, np.array([street.light.shadow[0], 0, street.light.shadow[1]])
    masks = [Image.new("L", (view.w, view.h)) for _ in range(2)]
    pens, sunny = [ImageDraw.Draw(mask) for mask in masks], street.light.direct[0] > 0.15

    def fill(pen, outline, strength):
        if outline[:, 2].min() > 1.5:
            pen.polygon(view.project(outline.tolist()), fill=strength)

    for z, s, half_width, half_length, height, _, has_crown in things:
        if z > 45:
            continue
        slim = half_length < 0.2
        corners = np.pi * np.array([0.25, 0.75, 1.25, 1.75])
        turn = np.linspace(0, 2 * np.pi, 10, endpoint=False) if has_crown else corners
        outline = np.stack([s + 1.41 * half_width * np.cos(turn), 0 * turn, z + 1.41 * half_length * np.sin(turn)], 1)
        if not (has_crown or half_width < 0.1):
            fill(pens[1], outline, 190)
        if sunny and not slim:
            for step in (0.55, 0.7, 0.9) if has_crown else (0, 0.33, 0.66, 1):
                fill(pens[0], outline + fall * height * step, 255)
        if sunny and (slim or has_crown):
            foot = np.array([[s - min(half_width, 0.15), 0, z], [s + min(half_width, 0.15), 0, z]])
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
    image[:, :cut] = looks.paint_sky(light, across[:cut], np.maximum(-down[:cut], 0), salt)
    skyline(street, look, rng, image, label, depth, cut)

    z = np.minimum(view.eye / np.maximum(down[cut:], 1e-4), 600).astype(np.float32)
    s = across[cut:] * z - view.curve / 2 * np.minimum(z, FAR) ** 2
    label[cut:], white, yellow, kerb = street.ground(s, z)
    sun, sky = shadow_masks(street, things)[:, cut:]
    sun = np.maximum(sun, street.in_shadow(s, 0.0, z))
    lit = light.ambient[:, None, None] + (light.direct * max(light.sun[1], 0.15))[:, None, None] * (1 - sun)
    road, grass = label[cut:] == ROAD, label[cut:] == TERRAIN
    image[:, cut:] = textures.paint_ground(look, rng, road, grass, s, z, view.focal, white, yellow, kerb)
    image[:, cut:] *= lit * (1 - sky)
    depth[cut:] = z

    for see_through in (False, True):
        draw_faces(street, image, label, depth, see_through)
    canvas = Canvas(view, light)
    for thing in things:
        canvas.sunlit = 0.15 if street.in_shadow(thing.s, thing.height / 2, thing.z) else 1.0
        thing.draw(canvas, rng, thing.s, thing.z)
    compose(canvas, image, label, depth)
    leaves = np.flatnonzero(label == VEGETATION)
    z = np.minimum(depth.ravel()[leaves], 300)
    x, y = across.ravel()[leaves] * z, down.ravel()[leaves] * z
    noise = 0.22 * textures.grain(x, y, 16, salt) + 0.16 * textures.grain(x, y, 90, 1 - salt)
    image.reshape(3, -1)[:, leaves] *= np.clip(1 + noise, 0.35, 1.7)
    return looks.develop(image, depth, look, light, rng), label


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
    offsets = np.array([face.offset for face in street.faces], np.float32)[facade]
    footprint = z / view.focal * np.where(end, 1, z / np.maximum(np.abs(offsets), 0.5))
    towards = np.array([light.face(-1, 0, 0), light.face(1, 0, 0), light.face(0, 0, -1)], np.float32) - light.ambient
    sun = np.take(towards.T, np.where(end, 2, offsets < 0), 1) * ~street.in_shadow(s, y, z)
    lit = light.ambient[:, None] * np.float32(0.95) + sun
    colour, alpha = textures.paint_surfaces(street.facades, facade, np.where(end, s, z + 40), y, footprint, lit)
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
    for heights, colour, what in ((town, tint, BUILDING), (wood, textures.leaf_colour(look, rng), VEGETATION)):
        top = view.horizon - view.focal * (heights - view.eye) / far
        first = max(0, int(top.min()))
        inside = np.arange(first, cut)[:, None] + 0.5 >= top
        lit = np.float32(colour) * (street.light.ambient + 0.4 * street.light.direct)
        np.copyto(image[:, first:cut], lit.reshape(-1, 3).T[:, None], where=inside)
        label[first:cut][inside], depth[first:cut][inside] = what, far


def compose(canvas: Canvas, image, label, depth) -> None:
    """Puts the things on the picture where they are nearer than what is there, edges smooth in the image alone."""
    inks = np.asarray(canvas.image, np.int32)
    samples = [inks[i::2, j::2].ravel() for i in (0, 1) for j in (0, 1)]  # the four within each pixel
    at = np.flatnonzero(samples[0] | samples[1] | samples[2] | samples[3])
    samples = [sample[at] for sample in samples]
    colours, ids, depths = (np.array(values) for values in zip(*canvas.inks))
    colours, ids, depths = colours.astype(np.float32).T, ids.astype(np.uint8), depths.astype(np.float32)
    behind, reach = depth.ravel()[at], depths * np.float32(0.985) - np.float32(0.3)
    nearer = [reach[ink] < behind for ink in samples]
    flat = image.reshape(3, -1)
    under = flat[:, at]
    flat[:, at] = sum(np.where(near, np.take(colours, ink, 1), under) for ink, near in zip(samples, nearer)) / 4
    ink, near = samples[-1], nearer[-1]  # labels and depths do not mix: the last of the four stands for its pixel
    label.ravel()[at[near]] = ids[ink[near]]
    depth.ravel()[at[near]] = depths[ink[near]]
