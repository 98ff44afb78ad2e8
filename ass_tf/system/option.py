"""Kinds of options, for `type=` of argparse: their errors name the rule and what was received."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ass_tf.system import storage

LARGEST = 16384  # pixels of a side


def path(text: str) -> Path:
    """A file or folder, under a name that every command can use."""
    try:
        storage.check_name(text, "a name")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def number(least: int = 1, most: int = 10**12 - 1) -> Callable[[str], int]:
    """A whole number within limits."""

    def parse(text: str) -> int:
        if not text.isdecimal() or len(text) > len(str(most)) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}. Received: {text}.")
        return int(text)

    return parse


def size(least: int = 1, most: int = LARGEST) -> Callable[[str], tuple[int, int]]:
    """(height, width) in pixels, written HEIGHTxWIDTH."""

    def parse(text: str) -> tuple[int, int]:
        sides = text.lower().split("x")
        if len(sides) != 2 or not all(s.isdecimal() and len(s) < 6 and least <= int(s) <= most for s in sides):
            rule = f"must be HEIGHTxWIDTH in pixels, each from {least} to {most}, such as 512x1024"
            raise argparse.ArgumentTypeError(f"{rule}. Received: {text}.")
        return int(sides[0]), int(sides[1])

    return parse


def hours(text: str) -> float:
    """A time in hours, above 0."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of hours above 0, such as 23.5. Received: {text}.")
    return found
