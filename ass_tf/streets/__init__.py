"""Drawn streets: labelled pictures that need no download."""

from ass_tf.streets.scene import LOOKS, draw_scene
from ass_tf.streets.writing import write_cityscapes, write_gta5

__all__ = ["LOOKS", "draw_scene", "write_cityscapes", "write_gta5"]
