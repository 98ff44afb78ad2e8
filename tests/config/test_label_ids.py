"""Ids and colours of data sets against other sources than those that the tables were taken from.

The second source stands beside each table here.
"""

import pytest

from ass_tf import labels
from ass_tf.config import label_colours, label_ids

CLASSES = labels.CLASS_SETS["cityscapes19"]
CITYSCAPES = dict(labels.CITYSCAPES_RAW.values())


def train_ids(raw):
    """Raw id -> train id of those that belong to one of Cityscapes' 19 classes."""
    table = labels.lookup_table(raw, CLASSES)
    return {raw_id: int(table[raw_id]) for raw_id in raw if table[raw_id] != labels.IGNORE}


def own(meaning):
    return labels.names_of(meaning)[0]


def plain(name):
    """A name without spaces, letter case and plural."""
    name = "".join(letter for letter in name.lower() if letter.isalnum()).rstrip("s")
    return {"none": "unlabeled", "pedestrian": "person"}.get(name, name)


# The enumerations of LibCarla/source/carla/rpc/ObjectLabel.h, of 0.9.15 and of 0.9.13, in the order of their numbers.
CARLA = (
    "None Roads Sidewalks Buildings Walls Fences Poles TrafficLight TrafficSigns Vegetation Terrain Sky Pedestrians "
    "Rider Car Truck Bus Train Motorcycle Bicycle Static Dynamic Other Water RoadLines Ground Bridge RailTrack "
    "GuardRail Rock"
)
CARLA_BEFORE = (
    "None Buildings Fences Other Pedestrians Poles RoadLines Roads Sidewalks Vegetation Vehicles Walls TrafficSigns "
    "Sky Ground Bridge RailTrack GuardRail TrafficLight Static Dynamic Water Terrain"
)


@pytest.mark.parametrize(("raw", "names"), [(label_ids.CARLA, CARLA), (label_ids.CARLA_TO_0_9_13, CARLA_BEFORE)])
def test_ids_of_carla_are_those_of_its_source(raw, names):
    expected = [plain(name) for name in names.split()]
    assert [plain(own(raw[raw_id])) for raw_id in range(len(raw))] == expected


# LibCarla/source/carla/image/CityScapesPalette.h of the branch ue5-dev, of 0.9.13 and of 0.9.9, and the classes of
# PythonClient/carla/image_converter.py of 0.8, all in the order of the ids.
PALETTE = [
    (0, 0, 0), (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
    (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
    (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32), (110, 190, 160), (170, 120, 50),
    (55, 90, 80), (45, 60, 150), (157, 234, 50), (81, 0, 81), (150, 100, 100), (230, 150, 140), (180, 165, 180),
    (180, 130, 70),
]  # fmt: skip
PALETTE_0_9_13 = [
    (0, 0, 0), (70, 70, 70), (100, 40, 40), (55, 90, 80), (220, 20, 60), (153, 153, 153), (157, 234, 50),
    (128, 64, 128), (244, 35, 232), (107, 142, 35), (0, 0, 142), (102, 102, 156), (220, 220, 0), (70, 130, 180),
    (81, 0, 81), (150, 100, 100), (230, 150, 140), (180, 165, 180), (250, 170, 30), (110, 190, 160), (170, 120, 50),
    (45, 60, 150), (145, 170, 100),
]  # fmt: skip
PALETTE_0_9_9 = [*PALETTE_0_9_13[:2], (190, 153, 153), (250, 170, 160), *PALETTE_0_9_13[4:13]]
PALETTE_0_8 = [*PALETTE_0_9_9[:3], (72, 0, 90), *PALETTE_0_9_9[4:10], (0, 0, 255), *PALETTE_0_9_9[11:]]


@pytest.mark.parametrize(
    ("palette", "raw"),
    [
        (PALETTE, label_ids.CARLA),
        (PALETTE_0_9_13, label_ids.CARLA_TO_0_9_13),
        (PALETTE_0_9_9, label_ids.CARLA_TO_0_9_13),
        (PALETTE_0_8, label_ids.CARLA_TO_0_9_13),
    ],
)
def test_colours_of_carla_mean_what_its_ids_mean(palette, raw):
    widest = [labels.names_of(label_colours.CARLA[colour])[-1] for colour in palette]
    assert widest == [labels.names_of(raw[raw_id])[-1] for raw_id in range(len(palette))]


def test_no_colour_of_carla_is_of_no_palette():
    assert {*PALETTE, *PALETTE_0_9_13, *PALETTE_0_9_9, *PALETTE_0_8} == label_colours.CARLA.keys()


# Colours: the table of zhouyuan888888/Public-datasets-preprocessing. Train ids of the 11 classes: `labels_info` of a
# converter of CamVid for Mask2Former. There is no one list of groups: others count some rare colours differently.
CAMVID = {
    "Animal": (64, 128, 64, 9), "Archway": (192, 0, 128, 1), "Bicyclist": (0, 128, 192, 10), "Bridge": (0, 128, 64, 1),
    "Building": (128, 0, 0, 1), "Car": (64, 0, 128, 8), "CartLuggagePram": (64, 0, 192, 9), "Child": (192, 128, 64, 9),
    "Column_Pole": (192, 192, 128, 2), "Fence": (64, 64, 128, 7), "LaneMkgsDriv": (128, 0, 192, 3),
    "LaneMkgsNonDriv": (192, 0, 64, 3), "Misc_Text": (128, 128, 64, 6), "MotorcycleScooter": (192, 0, 192, 10),
    "OtherMoving": (128, 64, 64, 8), "ParkingBlock": (64, 192, 128, 4), "Pedestrian": (64, 64, 0, 9),
    "Road": (128, 64, 128, 3), "RoadShoulder": (128, 128, 192, 4), "Sidewalk": (0, 0, 192, 4),
    "SignSymbol": (192, 128, 128, 6), "Sky": (128, 128, 128, 0), "SUVPickupTruck": (64, 128, 192, 8),
    "TrafficCone": (0, 0, 64, 2), "TrafficLight": (0, 64, 64, 6), "Train": (192, 64, 128, 8), "Tree": (128, 128, 0, 5),
    "Truck_Bus": (192, 128, 192, 8), "Tunnel": (64, 0, 64, 1), "VegetationMisc": (192, 192, 0, 5),
    "Void": (0, 0, 0, None), "Wall": (64, 192, 0, 1),
}  # fmt: skip
CAMVID_NAMES = {
    "Column_Pole": "pole", "Pedestrian": "person", "SignSymbol": "traffic sign",
    "LaneMkgsDriv": "lane marking drivable", "LaneMkgsNonDriv": "lane marking non-drivable",
}  # fmt: skip


def test_colours_of_camvid_and_their_groups_are_those_of_others():
    named = {tuple(row[:3]): plain(CAMVID_NAMES.get(name, name)) for name, row in CAMVID.items()}
    assert {colour: plain(own(meaning)) for colour, meaning in label_colours.CAMVID_32.items()} == named
    groups = {tuple(row[:3]): "void" if row[3] is None else labels.CAMVID_RAW[row[3]] for row in CAMVID.values()}
    assert groups == label_colours.CAMVID


# CLASS_MAP of a reader of Virtual KITTI 2 (planamono/gt_creation/vkitti2/scene_runner.py).
VKITTI2 = {
    (0, 0, 0): "undefined", (210, 0, 200): "terrain", (90, 200, 255): "sky", (0, 199, 0): "tree",
    (90, 240, 0): "vegetation", (140, 140, 140): "building", (100, 60, 100): "road", (250, 100, 255): "guard_rail",
    (255, 255, 0): "traffic_sign", (200, 200, 0): "traffic_light", (255, 130, 0): "pole", (80, 80, 80): "misc",
    (160, 60, 60): "truck", (255, 127, 80): "car", (0, 139, 139): "van",
}  # fmt: skip


def test_colours_of_virtual_kitti_are_those_of_another_reader():
    assert {colour: own(meaning).replace(" ", "_") for colour, meaning in label_colours.VKITTI2.items()} == VKITTI2


# VIPER_TO_KITTI of a detector, whose names are in the order of the ids, and the ids that DA-VSN takes for its 15
# classes: road, sidewalk, building, fence, traffic light, traffic sign, vegetation, terrain, sky, person, car, truck,
# bus, motorcycle, bicycle. It leaves vans and trains out.
VIPER = (
    "unlabeled ambiguous sky road sidewalk railtrack terrain tree vegetation building infrastructure fence billboard "
    "trafficlight trafficsign mobilebarrier firehydrant chair trash trashcan person animal bicycle motorcycle car van "
    "bus truck trailer train plane boat"
)
DA_VSN = {3: 0, 4: 1, 9: 2, 11: 3, 13: 4, 14: 5, 7: 6, 8: 6, 6: 7, 2: 8, 20: 9, 24: 10, 27: 11, 26: 12, 23: 13, 22: 14}
OF_DA_VSN = [n for n in CLASSES if n not in ("wall", "pole", "rider", "train")]


def test_ids_of_viper_are_those_of_others():
    assert [plain(own(label_ids.VIPER[raw_id])) for raw_id in range(32)] == [plain(name) for name in VIPER.split()]
    taken = {raw_id: CLASSES.index(OF_DA_VSN[place]) for raw_id, place in DA_VSN.items()}
    assert train_ids(label_ids.VIPER) == {**taken, 25: CLASSES.index("car"), 29: CLASSES.index("train")}


# csTrainId and level3Id of AutoNUE's table, by id, as its first release has them; names of level 3 as users of IDD list
# them.
IDD_TRAIN_IDS = {
    0: 0, 3: 1, 5: 9, 6: 11, 8: 12, 9: 17, 10: 18, 12: 13, 13: 14, 14: 15, 17: 16, 20: 3, 21: 4, 24: 7, 25: 6, 26: 5,
    29: 2, 32: 8, 33: 10,
}  # fmt: skip
IDD_LEVEL3 = [
    "road", "drivable fallback", "sidewalk", "non-drivable fallback", "person", "rider", "motorcycle", "bicycle",
    "autorickshaw", "car", "truck", "bus", "vehicle fallback", "curb", "wall", "fence", "guard rail", "billboard",
    "traffic sign", "traffic light", "pole", "obs-str-bar-fallback", "building", "bridge", "vegetation", "sky",
]  # fmt: skip
LEVEL3_OF = [0, 1, 1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 20, 20, 21, 22]
LEVEL3_OF += [23, 23, 24, 25, 25]


def test_ids_of_idd_belong_to_the_classes_that_it_gives_them():
    assert train_ids(label_ids.IDD) == IDD_TRAIN_IDS
    assert [own(label_ids.IDD_LEVEL3[raw_id]) for raw_id in range(26)] == IDD_LEVEL3
    of_level3 = train_ids(label_ids.IDD_LEVEL3)
    for raw_id, train_id in IDD_TRAIN_IDS.items():
        if raw_id != 17:  # trains are among the fallback of level 3
            assert of_level3[LEVEL3_OF[raw_id]] == train_id


# METAINFO of mmseg/datasets/bdd100k.py; Cityscapes' ids of the panoptic ones in a converter,
# `bdd_cityscapes_label_map`, without those that it has no class for.
BDD100K = [
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
]  # fmt: skip
BDD100K_PANOPTIC = {
    1: 5, 2: 1, 3: 6, 4: 4, 5: 9, 6: 10, 7: 7, 8: 8, 9: 15, 10: 11, 11: 13, 13: 14, 14: 16, 15: 12, 20: 17, 21: 18,
    25: 19, 26: 20, 28: 22, 29: 21, 30: 23, 31: 24, 32: 25, 33: 33, 34: 28, 35: 26, 36: 29, 37: 32, 38: 30, 39: 31,
    40: 27,
}  # fmt: skip


def test_ids_of_bdd100k_are_those_of_others():
    assert [label_ids.TRAIN_IDS[raw_id] for raw_id in range(19)] == BDD100K
    others = {raw_id: label_ids.CITYSCAPES[city] for raw_id, city in BDD100K_PANOPTIC.items()}
    known = {raw_id: own(meaning) for raw_id, meaning in label_ids.BDD100K_PANOPTIC.items()}
    assert {raw_id: name for raw_id, name in known.items() if name in CITYSCAPES and raw_id} == others
    assert sorted(known) == list(range(41))


# CLASS_NAMES of a reader of UrbanSyn, which adds 1 to each id and makes 20 of them 0.
URBANSYN = [
    "unlabelled", "road", "sidewalk", "building", "wall", "fence", "pole", "traffic_light", "traffic_sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
]  # fmt: skip


def test_ids_of_urbansyn_are_those_of_another_reader():
    shifted = [URBANSYN[(raw_id + 1) % 20].replace("_", " ") for raw_id in range(19)]
    assert [label_ids.URBANSYN[raw_id] for raw_id in range(19)] == shifted
    assert label_ids.URBANSYN[19] == "unlabeled"


# `valid_labels` of a reader of KITTI's semantic labels, in the order of the train ids.
KITTI = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


def test_ids_of_kitti_are_those_of_another_reader():
    assert train_ids(label_ids.CITYSCAPES) == {raw_id: place for place, raw_id in enumerate(KITTI)}


# CLASSES of mmseg/datasets/mapillary.py, in the order of the ids.
VISTAS_1_2 = [
    "Bird", "Ground Animal", "Curb", "Fence", "Guard Rail", "Barrier", "Wall", "Bike Lane", "Crosswalk - Plain",
    "Curb Cut", "Parking", "Pedestrian Area", "Rail Track", "Road", "Service Lane", "Sidewalk", "Bridge", "Building",
    "Tunnel", "Person", "Bicyclist", "Motorcyclist", "Other Rider", "Lane Marking - Crosswalk",
    "Lane Marking - General", "Mountain", "Sand", "Sky", "Snow", "Terrain", "Vegetation", "Water", "Banner", "Bench",
    "Bike Rack", "Billboard", "Catch Basin", "CCTV Camera", "Fire Hydrant", "Junction Box", "Mailbox", "Manhole",
    "Phone Booth", "Pothole", "Street Light", "Pole", "Traffic Sign Frame", "Utility Pole", "Traffic Light",
    "Traffic Sign (Back)", "Traffic Sign (Front)", "Trash Can", "Bicycle", "Boat", "Bus", "Car", "Caravan",
    "Motorcycle", "On Rails", "Other Vehicle", "Trailer", "Truck", "Wheeled Slow", "Car Mount", "Ego Vehicle",
    "Unlabeled",
]  # fmt: skip
# Of MapillaryVistasLabelMap_V20 in datumaro, which is in the order of the ids but for the traffic lights, 90 to 95:
# keys by id, and the class of Cityscapes that they belong to.
VISTAS_2_0 = {
    4: ("construction--barrier--curb", "sidewalk"), 5: ("construction--barrier--fence", "fence"),
    6: ("construction--barrier--guard-rail", None), 12: ("construction--barrier--wall", "wall"),
    13: ("construction--flat--bike-lane", "road"), 14: ("construction--flat--crosswalk-plain", "road"),
    15: ("construction--flat--curb-cut", "sidewalk"), 17: ("construction--flat--parking", None),
    19: ("construction--flat--pedestrian-area", "sidewalk"), 20: ("construction--flat--rail-track", None),
    21: ("construction--flat--road", "road"), 22: ("construction--flat--road-shoulder", "road"),
    23: ("construction--flat--service-lane", "road"), 24: ("construction--flat--sidewalk", "sidewalk"),
    25: ("construction--flat--traffic-island", "sidewalk"), 26: ("construction--structure--bridge", None),
    27: ("construction--structure--building", "building"), 28: ("construction--structure--garage", "building"),
    29: ("construction--structure--tunnel", None), 30: ("human--person--individual", "person"),
    31: ("human--person--person-group", "person"), 32: ("human--rider--bicyclist", "rider"),
    33: ("human--rider--motorcyclist", "rider"), 34: ("human--rider--other-rider", "rider"),
    45: ("marking--discrete--crosswalk-zebra", "road"), 58: ("marking-only--discrete--text", "road"),
    60: ("nature--sand", "terrain"), 61: ("nature--sky", "sky"), 62: ("nature--snow", None),
    63: ("nature--terrain", "terrain"), 64: ("nature--vegetation", "vegetation"), 65: ("nature--water", None),
    77: ("object--pothole", None), 84: ("object--street-light", None), 85: ("object--support--pole", "pole"),
    86: ("object--support--pole-group", None), 88: ("object--support--utility-pole", "pole"),
    97: ("object--traffic-sign--back", None), 99: ("object--traffic-sign--direction-front", "traffic sign"),
    100: ("object--traffic-sign--front", "traffic sign"), 105: ("object--vehicle--bicycle", "bicycle"),
    107: ("object--vehicle--bus", "bus"), 108: ("object--vehicle--car", "car"), 109: ("object--vehicle--caravan", None),
    110: ("object--vehicle--motorcycle", "motorcycle"), 111: ("object--vehicle--on-rails", "train"),
    114: ("object--vehicle--truck", "truck"), 116: ("object--vehicle--wheeled-slow", None),
    120: ("void--ego-vehicle", None), 123: ("void--unlabeled", None),
}  # fmt: skip
# Where the key's last part is not what the data set's files call the class for readers.
VISTAS_READABLE = {
    "human--person--individual": "Person",
    "marking--discrete--crosswalk-zebra": "Lane Marking - Crosswalk",
    "marking-only--discrete--text": "Lane Marking (only) - Test",
    "object--traffic-sign--back": "Traffic Sign (Back)",
    "object--traffic-sign--direction-front": "Traffic Sign - Direction (Front)",
    "object--traffic-sign--front": "Traffic Sign (Front)",
}


def test_ids_of_vistas_are_those_of_others():
    assert [own(label_ids.VISTAS_1_2[raw_id]) for raw_id in range(66)] == [name.lower() for name in VISTAS_1_2]
    assert sorted(label_ids.VISTAS_2_0) == list(range(124))
    found = train_ids(label_ids.VISTAS_2_0)
    for raw_id, (key, name) in VISTAS_2_0.items():
        assert found.get(raw_id) == (None if name is None else CLASSES.index(name))
        readable = VISTAS_READABLE.get(key, key.rpartition("--")[2])
        assert plain(own(label_ids.VISTAS_2_0[raw_id])) == plain(readable)
    lights = [raw_id for raw_id, train_id in found.items() if train_id == CLASSES.index("traffic light")]
    markings = [raw_id for raw_id, meaning in label_ids.VISTAS_2_0.items() if "lane marking" in meaning]
    assert (lights, markings) == (list(range(90, 96)), list(range(35, 59)))


def test_both_versions_of_vistas_agree_on_classes_of_the_same_name():
    of_2_0 = {own(meaning): meaning for meaning in label_ids.VISTAS_2_0.values()}
    for meaning in label_ids.VISTAS_1_2.values():
        assert of_2_0.get(own(meaning), meaning) == meaning
