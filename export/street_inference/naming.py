"""Names of results, without clashes, that file systems take."""

from __future__ import annotations

import collections
import os
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path


def output_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file's results: its stem, with as many of the folders above it as tell it from the others.

    Files that differ in their suffix alone keep it. Names that differ in letter case or in the spelling of accents
    alone count as the same, since some file systems hold them so.
    """
    spelled = [os.path.abspath(path).replace(":", "").split(os.sep) for path in paths]
    stems = [[*parts[:-1], Path(parts[-1]).stem] for parts in spelled]
    twins = collections.Counter(_alike(str(parts)) for parts in stems)
    parts = [full if twins[_alike(str(bare))] > 1 else bare for full, bare in zip(spelled, stems)]
    depth = [1] * len(paths)
    while True:
        names = ["__".join(part[-n:]) for part, n in zip(parts, depth)]
        users: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            users.setdefault(_alike(name), []).append(index)
        clashing = [i for group in users.values() if len(group) > 1 for i in group if depth[i] < len(parts[i])]
        if not clashing:
            break
        for index in clashing:
            depth[index] += 1
    for group in users.values():
        for number, index in enumerate(group[1:], start=2):  # whole paths that differ in letter case alone
            names[index] += f"__{number}"
    return [_short(name) for name in names]


def folder_names(paths: Sequence[Path], words: Sequence[str]) -> list[str]:
    """A name for each file's results that keeps its folders: its stem below the folder that all words have in common.

    Args:
        paths: the files.
        words: the files, folders and patterns that they were found by.

    Returns:
        names: relative, parted by "/"; files of a folder that differ in their suffix alone keep it.
    """
    try:
        top = os.path.commonpath([_folder_of(word) for word in words])
        inside = [os.path.relpath(os.path.abspath(path), top) for path in paths]
    except ValueError:  # several drives of Windows
        inside = [os.path.abspath(path).replace(":", "") for path in paths]
    twins = collections.Counter(_alike(os.path.splitext(path)[0]) for path in inside)
    names, users = [], collections.Counter[str]()
    for path in inside:
        stem = os.path.splitext(path)[0]
        name = path if twins[_alike(stem)] > 1 else stem
        users[_alike(name)] += 1
        name += f"__{users[_alike(name)]}" if users[_alike(name)] > 1 else ""  # letter case alone tells them apart
        names.append("/".join(map(_short, name.split(os.sep))))
    return names


def _folder_of(word: str) -> str:
    """The folder that a word names, or that holds what it names."""
    folder = os.path.abspath(word)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _short(name: str) -> str:
    """A name that file systems take, with the ends of OUTPUTS behind it: at most 200 bytes."""
    spelled = os.fsencode(name)
    if len(spelled) <= 200:
        return name
    return spelled[:180].decode(errors="ignore") + f"~{zlib.crc32(spelled):08x}"
