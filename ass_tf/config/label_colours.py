"""What the colours in the labels of data sets stand for, for those whose label files hold colours.

Names are as in `label_ids`.
"""

from __future__ import annotations

from ass_tf import labels

# CARLA's converter CityScapesPalette, of all versions: no colour means two things, but before 0.9.14 that of a car is
# that of any vehicle. Source: Docs/ref_sensors.md of carla-simulator/carla; PythonAPI and PythonClient of earlier
# versions.
CARLA = labels.widened(
    {
        (0, 0, 0): "unlabeled",
        (128, 64, 128): "road",
        (244, 35, 232): "sidewalk",
        (70, 70, 70): "building",
        (102, 102, 156): "wall",
        (190, 153, 153): "fence",  # from 0.9.14 on, and up to 0.9.9
        (100, 40, 40): "fence",  # 0.9.10 to 0.9.13
        (153, 153, 153): "pole",
        (250, 170, 30): "traffic light",
        (220, 220, 0): "traffic sign",
        (107, 142, 35): "vegetation",
        (152, 251, 152): "terrain",
        (145, 170, 100): "terrain",  # 0.9.10 to 0.9.13
        (70, 130, 180): "sky",
        (220, 20, 60): "person",
        (255, 0, 0): "rider",
        (0, 0, 142): "car",
        (0, 0, 255): "vehicle > car",  # 0.8
        (0, 0, 70): "truck",
        (0, 60, 100): "bus",
        (0, 80, 100): "train",
        (0, 0, 230): "motorcycle",
        (119, 11, 32): "bicycle",
        (110, 190, 160): "static",
        (170, 120, 50): "dynamic",
        (55, 90, 80): "other",
        (250, 170, 160): "other",  # up to 0.9.9
        (72, 0, 90): "other",  # 0.8
        (45, 60, 150): "water",
        (157, 234, 50): "road line > lane marking > road",
        (81, 0, 81): "ground",
        (150, 100, 100): "bridge",
        (230, 150, 140): "rail track",
        (180, 165, 180): "guard rail",
        (180, 130, 70): "rock",  # 0.10
    }
)

# CamVid. Source: label_colors.txt of the data set. A bicyclist is the rider with the bicycle, so it is neither.
CAMVID_32 = labels.widened(
    {
        (64, 128, 64): "animal",
        (192, 0, 128): "archway",
        (0, 128, 192): "bicyclist",
        (0, 128, 64): "bridge",
        (128, 0, 0): "building",
        (64, 0, 128): "car",
        (64, 0, 192): "cart luggage pram",
        (192, 128, 64): "child > person",
        (192, 192, 128): "pole",
        (64, 64, 128): "fence",
        (128, 0, 192): "lane marking drivable > lane marking > road",
        (192, 0, 64): "lane marking non-drivable > lane marking > road",
        (128, 128, 64): "misc text",
        (192, 0, 192): "motorcycle scooter",
        (128, 64, 64): "other moving",
        (64, 192, 128): "parking block",
        (64, 64, 0): "person",
        (128, 64, 128): "road",
        (128, 128, 192): "road shoulder",
        (0, 0, 192): "sidewalk",
        (192, 128, 128): "traffic sign",
        (128, 128, 128): "sky",
        (64, 128, 192): "suv pickup truck > car",
        (0, 0, 64): "traffic cone",
        (0, 64, 64): "traffic light",
        (192, 64, 128): "train",
        (128, 128, 0): "tree > vegetation",
        (192, 128, 192): "truck bus",
        (64, 0, 64): "tunnel",
        (192, 192, 0): "vegetation misc > vegetation",
        (0, 0, 0): "void",
        (64, 192, 0): "wall",
    }
)

# The 11 classes of SegNet, with the names that labels.CAMVID_RAW has. Source: MATLAB's example of SegNet on CamVid,
# camvidPixelLabelIDs, which follows SegNet's training.
_GROUPS = {
    "sky": ["sky"],
    "building": ["bridge", "building", "wall", "tunnel", "archway"],
    "pole": ["pole", "traffic cone"],
    "road": ["road", "lane marking drivable", "lane marking non-drivable"],
    "sidewalk": ["sidewalk", "parking block", "road shoulder"],
    "vegetation": ["tree", "vegetation misc"],
    "traffic sign": ["traffic sign", "misc text", "traffic light"],
    "fence": ["fence"],
    "car": ["car", "suv pickup truck", "truck bus", "train", "other moving"],
    "person": ["person", "child", "cart luggage pram", "animal"],
    "bicyclist": ["bicyclist", "motorcycle scooter"],
    "void": ["void"],
}
_GROUP_OF = {name: group for group, names in _GROUPS.items() for name in names}
CAMVID = {colour: _GROUP_OF[names[0]] for colour, names in CAMVID_32.items()}

# Virtual KITTI 2. Source: colors.txt of the data set (vkitti_2.0.3_textgt).
VKITTI2 = labels.widened(
    {
        (210, 0, 200): "terrain",
        (90, 200, 255): "sky",
        (0, 199, 0): "tree > vegetation",
        (90, 240, 0): "vegetation",
        (140, 140, 140): "building",
        (100, 60, 100): "road",
        (250, 100, 255): "guard rail",
        (255, 255, 0): "traffic sign",
        (200, 200, 0): "traffic light",
        (255, 130, 0): "pole",
        (80, 80, 80): "misc",
        (160, 60, 60): "truck",
        (255, 127, 80): "car",
        (0, 139, 139): "van > car",
        (0, 0, 0): "undefined",
    }
)
