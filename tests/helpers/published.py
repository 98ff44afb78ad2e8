"""Files of data sets, exactly in the formats in which they are published."""

import dataclasses

import numpy as np
from file_formats import CLASSES, photograph
from PIL import Image


def save(path, image, **given):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **given)


# Label files of a row of values, twice


def grey(values):
    return Image.fromarray(np.array([values] * 2, np.uint8))


def indexed(values):
    image = grey(values)
    image.putpalette([channel for number in range(256) for channel in (number, 255 - number, 7)])
    return image


def red(values):
    """As CARLA saves what its semantic camera sends: opaque, the id in the red channel."""
    pixels = np.zeros((2, len(values), 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = values, 255
    return Image.fromarray(pixels)


def bitmask(values):
    """As BDD100K's: the other channels, alpha too, hold attributes and the object's number."""
    pixels = np.array(red(values))
    pixels[..., 1:] = 3, 200, 2
    return Image.fromarray(pixels)


def coloured(values):
    return Image.fromarray(np.array([values] * 2, np.uint8))


def opaque(values):
    return coloured(values).convert("RGBA")


@dataclasses.dataclass(frozen=True)
class Published:
    """Files of a data set: image and label, how the label is written, and values with their classes out of 19."""

    image: str
    label: str
    draw: object
    meaning: dict
    split: str = "train"


CARLA = {1: "road", 24: "road", 2: "sidewalk", 11: "sky", 12: "person", 14: "car", 19: "bicycle", 0: None, 26: None}
CARLA_BEFORE = {7: "road", 6: "road", 8: "sidewalk", 13: "sky", 4: "person", 10: "car", 22: "terrain", 0: None}
CARLA_COLOURS = {
    (128, 64, 128): "road", (157, 234, 50): "road", (190, 153, 153): "fence", (100, 40, 40): "fence",
    (145, 170, 100): "terrain", (152, 251, 152): "terrain", (0, 0, 142): "car", (0, 0, 0): None, (81, 0, 81): None,
}  # fmt: skip
CAMVID = {
    (128, 64, 128): "road", (192, 0, 64): "road", (192, 192, 0): "vegetation", (0, 64, 64): "traffic sign",
    (64, 0, 64): "building", (192, 192, 128): "pole", (64, 128, 192): "car", (192, 128, 64): "person",
    (0, 128, 192): None, (0, 0, 0): None,
}  # fmt: skip
CAMVID_32 = {**CAMVID, (0, 64, 64): "traffic light", (64, 0, 64): None, (192, 64, 128): "train"}
TRAIN_IDS = {**dict(enumerate(CLASSES)), 255: None}
VISTAS_1_2 = {13: "road", 24: "road", 2: "sidewalk", 50: "traffic sign", 49: None, 58: "train", 65: None}
VISTAS_2_0 = {21: "road", 45: "road", 4: "sidewalk", 95: "traffic light", 97: None, 111: "train", 123: None}
VKITTI2 = {
    (100, 60, 100): "road", (90, 200, 255): "sky", (0, 199, 0): "vegetation", (90, 240, 0): "vegetation",
    (160, 60, 60): "truck", (255, 127, 80): "car", (0, 139, 139): "car", (80, 80, 80): None, (0, 0, 0): None,
}  # fmt: skip
PUBLISHED = {
    "carla": Published("images/{:06}.png", "labels/{:06}.png", red, CARLA),
    "carla_0.9.13": Published("images/{:06}.png", "labels/{:06}.png", red, CARLA_BEFORE),
    "carla_colours": Published("images/{:06}.png", "labels/{:06}.png", opaque, CARLA_COLOURS),
    "camvid_colours": Published(
        "701_StillsRaw_full/0001TP_{:06}.png", "LabeledApproved_full/0001TP_{:06}_L.png", coloured, CAMVID
    ),
    "camvid_32": Published(
        "701_StillsRaw_full/Seq05VD_f{:05}.png", "LabeledApproved_full/Seq05VD_f{:05}_L.png", coloured, CAMVID_32
    ),
    "kitti": Published(
        "training/image_2/{:06}_10.png", "training/semantic/{:06}_10.png", grey,
        {7: "road", 23: "sky", 31: "train", 0: None},
    ),
    "bdd100k": Published(
        "images/10k/val/7d2f7975-e0c1cf{:02}.jpg", "labels/sem_seg/masks/val/7d2f7975-e0c1cf{:02}.png", grey, TRAIN_IDS,
        "val",
    ),
    "bdd100k_panoptic": Published(
        "images/10k/train/0004a4c0-d4dff0{:02}.jpg", "labels/pan_seg/bitmasks/train/0004a4c0-d4dff0{:02}.png", bitmask,
        {7: "road", 28: "terrain", 29: "vegetation", 35: "car", 40: "truck", 0: None, 18: None},
    ),
    "vistas": Published(
        "training/images/aaaaaaaaaaaaaaaaaaaa{:02}.jpg", "training/v1.2/labels/aaaaaaaaaaaaaaaaaaaa{:02}.png", indexed,
        VISTAS_1_2,
    ),
    "vistas_2.0": Published(
        "validation/images/-0C1J9CvgFP4BTVLXNeN{:02}.jpg", "validation/v2.0/labels/-0C1J9CvgFP4BTVLXNeN{:02}.png",
        indexed, VISTAS_2_0, "val",
    ),
    "idd": Published(
        "leftImg8bit/train/0/{:06}_leftImg8bit.png", "gtFine/train/0/{:06}_gtFine_labelids.png", grey,
        {0: "road", 3: "sidewalk", 5: "terrain", 8: "rider", 12: "car", 33: "sky", 11: None, 35: None},
    ),
    "idd_level3": Published(
        "leftImg8bit/val/119/frame{:04}_leftImg8bit.jpg", "gtFine/val/119/frame{:04}_gtFine_labellevel3Ids.png", grey,
        {0: "road", 2: "sidewalk", 4: "person", 9: "car", 25: "sky", 8: None, 255: None}, "val",
    ),
    "idd_train_ids": Published(
        "leftImg8bit/train/0/{:06}_leftImg8bit.png", "gtFine/train/0/{:06}_gtFine_labelcsTrainIds.png", grey, TRAIN_IDS
    ),
    "vkitti2": Published(
        "Scene01/15-deg-left/frames/rgb/Camera_0/rgb_{:05}.jpg",
        "Scene01/15-deg-left/frames/classSegmentation/Camera_0/classgt_{:05}.png", coloured, VKITTI2,
    ),
    "urbansyn": Published("rgb/rgb_{:04}.png", "ss/ss_{:04}.png", grey, {**TRAIN_IDS, 19: None}),
    "viper": Published(
        "train/img/001/001_{:05}.jpg", "train/cls/001/001_{:05}.png", indexed,
        {3: "road", 2: "sky", 7: "vegetation", 8: "vegetation", 24: "car", 25: "car", 20: "person", 10: None, 0: None},
    ),
}  # fmt: skip


def write(root, dataset, count=2):
    """That many images of a data set, each with a label that holds every value of the table."""
    files = PUBLISHED[dataset]
    for number in range(1, count + 1):
        image = Image.fromarray(photograph((2, len(files.meaning)), number))
        save(root / files.image.format(number), image)
        save(root / files.label.format(number), files.draw(list(files.meaning)))
    return root
