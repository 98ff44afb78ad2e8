"""What the ids in the labels of data sets stand for.

Every id has the data set's own name, in lower case, with Cityscapes' name in its place where the class is the same.
"van > car" is a van, and a car where `classes` has no van. What is wider follows what Cityscapes counts to its classes:
lane markings, bicycle lanes and crosswalks are road, curbs and traffic islands are sidewalk, backs of signs are no
signs. Nothing wider is given where Cityscapes has a class of its own that it does not train on: bridge, tunnel,
guard rail, parking, rail track, ground, caravan, trailer, polegroup.
"""

from __future__ import annotations

from ass_tf import labels

CITYSCAPES = {raw_id: name for raw_id, (name, _) in labels.CITYSCAPES_RAW.items()}

# Cityscapes' train ids, which others store: BDD100K (doc/source/format.rst of bdd100k/bdd100k), IDD's csTrainIds.
TRAIN_IDS = {**dict(enumerate(labels.CLASS_SETS["cityscapes19"])), 255: "unlabeled"}

# UrbanSyn. Source: the README on huggingface.co/datasets/UrbanSyn/UrbanSyn; it lists 19 train ids. Pixels without one
# hold 19, as those who train on it read it.
URBANSYN = {**TRAIN_IDS, 19: "unlabeled"}

# CARLA from 0.9.14 on. Source: Docs/ref_sensors.md of carla-simulator/carla; 29 came with Unreal Engine 5 (0.10).
CARLA = labels.widened(
    {
        0: "unlabeled", 1: "road", 2: "sidewalk", 3: "building", 4: "wall", 5: "fence", 6: "pole", 7: "traffic light",
        8: "traffic sign", 9: "vegetation", 10: "terrain", 11: "sky", 12: "person", 13: "rider", 14: "car", 15: "truck",
        16: "bus", 17: "train", 18: "motorcycle", 19: "bicycle", 20: "static", 21: "dynamic", 22: "other", 23: "water",
        24: "road line > lane marking > road", 25: "ground", 26: "bridge", 27: "rail track", 28: "guard rail",
        29: "rock",
    }
)  # fmt: skip

# CARLA 0.9.10 to 0.9.13; earlier versions have the first 13. Source: pull request 3251 of carla-simulator/carla, which
# added 13 to 22.
CARLA_TO_0_9_13 = labels.widened(
    {
        0: "unlabeled", 1: "building", 2: "fence", 3: "other", 4: "person", 5: "pole",
        6: "road line > lane marking > road", 7: "road", 8: "sidewalk", 9: "vegetation", 10: "vehicle > car",
        11: "wall", 12: "traffic sign", 13: "sky", 14: "ground", 15: "bridge", 16: "rail track", 17: "guard rail",
        18: "traffic light", 19: "static", 20: "dynamic", 21: "water", 22: "terrain",
    }
)  # fmt: skip

# BDD100K, panoptic bitmasks: the id is the red channel. Source: bdd100k/label/label.py of bdd100k/bdd100k.
BDD100K_PANOPTIC = labels.widened(
    {
        0: "unlabeled", 1: "dynamic", 2: "ego vehicle", 3: "ground", 4: "static", 5: "parking", 6: "rail track",
        7: "road", 8: "sidewalk", 9: "bridge", 10: "building", 11: "fence", 12: "garage", 13: "guard rail",
        14: "tunnel", 15: "wall", 16: "banner", 17: "billboard", 18: "lane divider", 19: "parking sign", 20: "pole",
        21: "polegroup", 22: "street light", 23: "traffic cone", 24: "traffic device", 25: "traffic light",
        26: "traffic sign", 27: "traffic sign frame", 28: "terrain", 29: "vegetation", 30: "sky", 31: "person",
        32: "rider", 33: "bicycle", 34: "bus", 35: "car", 36: "caravan", 37: "motorcycle", 38: "trailer", 39: "train",
        40: "truck",
    }
)  # fmt: skip

# IDD, ids and level 3 ids. Source: helpers/anue_labels.py of AutoNUE/public-code, whose csTrainId says what is wider.
# It has no id 255; some masks hold it where nothing is labelled.
IDD = labels.widened(
    {
        0: "road", 1: "parking", 2: "drivable fallback", 3: "sidewalk", 4: "rail track",
        5: "non-drivable fallback > terrain", 6: "person", 7: "animal", 8: "rider", 9: "motorcycle", 10: "bicycle",
        11: "autorickshaw", 12: "car", 13: "truck", 14: "bus", 15: "caravan", 16: "trailer", 17: "train",
        18: "vehicle fallback", 19: "curb", 20: "wall", 21: "fence", 22: "guard rail", 23: "billboard",
        24: "traffic sign", 25: "traffic light", 26: "pole", 27: "polegroup", 28: "obs-str-bar-fallback",
        29: "building", 30: "bridge", 31: "tunnel", 32: "vegetation", 33: "sky", 34: "fallback background",
        35: "unlabeled", 36: "ego vehicle", 37: "rectification border", 38: "out of roi", 39: "license plate",
        255: "unlabeled",
    }
)  # fmt: skip
# An id of level 3 stands for several classes and has the name of the first or most frequent: 3 has rail tracks too, 4
# animals, 12 caravans, trailers and trains, 23 tunnels, 25 the fallback background.
IDD_LEVEL3 = labels.widened(
    {
        0: "road", 1: "drivable fallback", 2: "sidewalk", 3: "non-drivable fallback > terrain", 4: "person",
        5: "rider", 6: "motorcycle", 7: "bicycle", 8: "autorickshaw", 9: "car", 10: "truck", 11: "bus",
        12: "vehicle fallback", 13: "curb", 14: "wall", 15: "fence", 16: "guard rail", 17: "billboard",
        18: "traffic sign", 19: "traffic light", 20: "pole", 21: "obs-str-bar-fallback", 22: "building", 23: "bridge",
        24: "vegetation", 25: "sky", 255: "unlabeled",
    }
)  # fmt: skip

# VIPER. Source: classes.csv and README.md of srrichter/viper. It has no riders: those are persons.
VIPER = labels.widened(
    {
        0: "unlabeled", 1: "ambiguous", 2: "sky", 3: "road", 4: "sidewalk", 5: "rail track", 6: "terrain",
        7: "tree > vegetation", 8: "vegetation", 9: "building", 10: "infrastructure", 11: "fence", 12: "billboard",
        13: "traffic light", 14: "traffic sign", 15: "mobile barrier", 16: "fire hydrant", 17: "chair", 18: "trash",
        19: "trash can", 20: "person", 21: "animal", 22: "bicycle", 23: "motorcycle", 24: "car", 25: "van > car",
        26: "bus", 27: "truck", 28: "trailer", 29: "train", 30: "plane", 31: "boat",
    }
)  # fmt: skip

# Mapillary Vistas 1.2. Source: config_v1.2.json of the data set, by its "readable" names; the place is the id.
VISTAS_1_2 = labels.widened(
    {
        0: "bird", 1: "ground animal", 2: "curb > sidewalk", 3: "fence", 4: "guard rail", 5: "barrier", 6: "wall",
        7: "bike lane > road", 8: "crosswalk - plain > road", 9: "curb cut > sidewalk", 10: "parking",
        11: "pedestrian area > sidewalk", 12: "rail track", 13: "road", 14: "service lane > road", 15: "sidewalk",
        16: "bridge", 17: "building", 18: "tunnel", 19: "person", 20: "bicyclist > rider", 21: "motorcyclist > rider",
        22: "other rider > rider", 23: "lane marking - crosswalk > lane marking > road",
        24: "lane marking - general > lane marking > road", 25: "mountain", 26: "sand > terrain", 27: "sky",
        28: "snow", 29: "terrain", 30: "vegetation", 31: "water", 32: "banner", 33: "bench", 34: "bike rack",
        35: "billboard", 36: "catch basin", 37: "cctv camera", 38: "fire hydrant", 39: "junction box", 40: "mailbox",
        41: "manhole", 42: "phone booth", 43: "pothole", 44: "street light", 45: "pole", 46: "traffic sign frame",
        47: "utility pole > pole", 48: "traffic light", 49: "traffic sign (back)",
        50: "traffic sign (front) > traffic sign", 51: "trash can", 52: "bicycle", 53: "boat", 54: "bus", 55: "car",
        56: "caravan", 57: "motorcycle", 58: "on rails > train", 59: "other vehicle", 60: "trailer", 61: "truck",
        62: "wheeled slow", 63: "car mount", 64: "ego vehicle", 65: "unlabeled",
    }
)  # fmt: skip

# Mapillary Vistas 2.0. Source: config_v2.0.json of the data set, as above. Groups of vehicles are of several classes.
VISTAS_2_0 = labels.widened(
    {
        0: "bird", 1: "ground animal", 2: "ambiguous barrier", 3: "concrete block", 4: "curb > sidewalk", 5: "fence",
        6: "guard rail", 7: "barrier", 8: "road median", 9: "road side", 10: "lane separator",
        11: "temporary barrier", 12: "wall", 13: "bike lane > road", 14: "crosswalk - plain > road",
        15: "curb cut > sidewalk", 16: "driveway", 17: "parking", 18: "parking aisle",
        19: "pedestrian area > sidewalk", 20: "rail track", 21: "road", 22: "road shoulder > road",
        23: "service lane > road", 24: "sidewalk", 25: "traffic island > sidewalk", 26: "bridge", 27: "building",
        28: "garage > building", 29: "tunnel", 30: "person", 31: "person group > person", 32: "bicyclist > rider",
        33: "motorcyclist > rider", 34: "other rider > rider",
        35: "lane marking - dashed line > lane marking > road",
        36: "lane marking - straight line > lane marking > road",
        37: "lane marking - zigzag line > lane marking > road",
        38: "lane marking - ambiguous > lane marking > road",
        39: "lane marking - arrow (left) > lane marking > road",
        40: "lane marking - arrow (other) > lane marking > road",
        41: "lane marking - arrow (right) > lane marking > road",
        42: "lane marking - arrow (split left or straight) > lane marking > road",
        43: "lane marking - arrow (split right or straight) > lane marking > road",
        44: "lane marking - arrow (straight) > lane marking > road",
        45: "lane marking - crosswalk > lane marking > road",
        46: "lane marking - give way (row) > lane marking > road",
        47: "lane marking - give way (single) > lane marking > road",
        48: "lane marking - hatched (chevron) > lane marking > road",
        49: "lane marking - hatched (diagonal) > lane marking > road",
        50: "lane marking - other > lane marking > road",
        51: "lane marking - stop line > lane marking > road",
        52: "lane marking - symbol (bicycle) > lane marking > road",
        53: "lane marking - symbol (other) > lane marking > road",
        54: "lane marking - text > lane marking > road",
        55: "lane marking (only) - dashed line > lane marking > road",
        56: "lane marking (only) - crosswalk > lane marking > road",
        57: "lane marking (only) - other > lane marking > road",
        58: "lane marking (only) - test > lane marking > road",  # so spelt in the file
        59: "mountain", 60: "sand > terrain", 61: "sky", 62: "snow", 63: "terrain", 64: "vegetation", 65: "water",
        66: "banner", 67: "bench", 68: "bike rack", 69: "catch basin", 70: "cctv camera", 71: "fire hydrant",
        72: "junction box", 73: "mailbox", 74: "manhole", 75: "parking meter", 76: "phone booth", 77: "pothole",
        78: "signage - advertisement > signage", 79: "signage - ambiguous > signage", 80: "signage - back > signage",
        81: "signage - information > signage", 82: "signage - other > signage", 83: "signage - store > signage",
        84: "street light", 85: "pole", 86: "pole group > polegroup", 87: "traffic sign frame",
        88: "utility pole > pole", 89: "traffic cone", 90: "traffic light - general (single) > traffic light",
        91: "traffic light - pedestrians > traffic light", 92: "traffic light - general (upright) > traffic light",
        93: "traffic light - general (horizontal) > traffic light", 94: "traffic light - cyclists > traffic light",
        95: "traffic light - other > traffic light", 96: "traffic sign - ambiguous", 97: "traffic sign (back)",
        98: "traffic sign - direction (back)", 99: "traffic sign - direction (front) > traffic sign",
        100: "traffic sign (front) > traffic sign", 101: "traffic sign - parking > traffic sign",
        102: "traffic sign - temporary (back)", 103: "traffic sign - temporary (front) > traffic sign",
        104: "trash can", 105: "bicycle", 106: "boat", 107: "bus", 108: "car", 109: "caravan", 110: "motorcycle",
        111: "on rails > train", 112: "other vehicle", 113: "trailer", 114: "truck", 115: "vehicle group",
        116: "wheeled slow", 117: "water valve", 118: "car mount", 119: "dynamic", 120: "ego vehicle", 121: "ground",
        122: "static", 123: "unlabeled",
    }
)  # fmt: skip
