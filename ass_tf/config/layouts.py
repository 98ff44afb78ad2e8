"""The layouts of data sets: where the files lie, how their names end, and what the label ids mean.

A new layout is a row of LAYOUTS.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ass_tf import labels
from ass_tf.config import label_colours, label_ids

PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")  # as `street_inference.images` has them


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a data set's files lie.

    Attributes:
        folders: (images, labels) under the root; several, where the set is around in several forms: the first that is
            there counts. A name in braces is a setting of `schema.Domain`.
        image_tails: how the names of images end; what stands before, with the folders, is the pair's name.
        label_tails: how the name of a pair's label ends; several, where the forms differ.
        raw: raw id -> what it stands for; None where the user's class file says it.
        colours: (red, green, blue) -> what it stands for, of labels that hold colours instead.
        label_packing: Pillow's word for label files whose first of several channels holds the ids.
        red: whether the first channel of label files in RGB holds the ids.
        within: (part of an image's name, what its label has in its place); images without the part do not count.
        splits: how the data set calls the parts `train` and so on.
    """

    folders: tuple[tuple[str, str], ...]
    image_tails: tuple[str, ...] = PHOTOGRAPHS
    label_tails: tuple[str, ...] = (".png",)
    raw: Mapping[int, labels.Meaning] | None = None
    colours: Mapping[tuple[int, int, int], labels.Meaning] | None = None
    label_packing: str | None = None
    red: bool = False
    within: tuple[str, str] = ("", "")
    splits: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def of_user(self) -> bool:
        """Whether the user's class file says what labels mean."""
        return self.raw is None and self.colours is None

    def label_of(self, name: str) -> str:
        """Name of the label of an image, both without their tails.

        Example:
            >>> LAYOUTS["urbansyn"].label_of("rgb_0001"), LAYOUTS["gta5"].label_of("00001")
            ('ss_0001', '00001')
        """
        part, instead = self.within
        return instead.join(name.rsplit(part, 1)) if part else name


OWN = ("{images}", "{labels}")  # folders that the settings name
LONG = {"train": "training", "val": "validation", "test": "testing"}
IN_CITIES = (("leftImg8bit/{split}", "gtFine/{split}"),)
OF_IDD = ("_leftImg8bit.png", "_leftImg8bit.jpg")  # of its first and second part
CAMVID = (OWN, ("701_StillsRaw_full", "LabeledApproved_full"))

LAYOUTS = {
    "gta5": Layout((("images", "labels"),), (".png",), raw=label_ids.CITYSCAPES),
    "synthia": Layout((("RGB", "GT/LABELS"),), (".png",), raw=labels.SYNTHIA_RAW, label_packing="RGB;16B"),
    "cityscapes": Layout(IN_CITIES, ("_leftImg8bit.png",), ("_gtFine_labelIds.png",), label_ids.CITYSCAPES),
    # Its own form, and that of the SegNet tutorial.
    "camvid": Layout((("{split}/images", "{split}/labels"), ("{split}", "{split}annot")), raw=labels.CAMVID_RAW),
    "camvid_colours": Layout(CAMVID, label_tails=("_L.png",), colours=label_colours.CAMVID),
    "camvid_32": Layout(CAMVID, label_tails=("_L.png",), colours=label_colours.CAMVID_32),
    "kitti": Layout(
        (("{split}/image_2", "{split}/semantic"),), (".png",), raw=label_ids.CITYSCAPES, splits={"train": "training"}
    ),
    # The release of 2018, and as downloaded since, with train ids in both.
    "bdd100k": Layout(
        (("seg/images/{split}", "seg/labels/{split}"), ("images/10k/{split}", "labels/sem_seg/masks/{split}")),
        (".jpg",),
        (".png", "_train_id.png"),
        label_ids.TRAIN_IDS,
    ),
    "bdd100k_panoptic": Layout(
        (("images/10k/{split}", "labels/pan_seg/bitmasks/{split}"),),
        (".jpg",),
        raw=label_ids.BDD100K_PANOPTIC,
        red=True,
    ),
    # As in the download of version 2.0, which has both, and in that of 1.1 and 1.2.
    "vistas": Layout(
        (("{split}/images", "{split}/v1.2/labels"), ("{split}/images", "{split}/labels")),
        (".jpg",),
        raw=label_ids.VISTAS_1_2,
        splits=LONG,
    ),
    "vistas_2.0": Layout(
        (("{split}/images", "{split}/v2.0/labels"),), (".jpg",), raw=label_ids.VISTAS_2_0, splits=LONG
    ),
    # Label files as AutoNUE's preperation/createLabels.py makes them of the polygons, by its --id-type.
    "idd": Layout(IN_CITIES, OF_IDD, ("_gtFine_labelids.png",), label_ids.IDD),
    "idd_level3": Layout(IN_CITIES, OF_IDD, ("_gtFine_labellevel3Ids.png",), label_ids.IDD_LEVEL3),
    "idd_train_ids": Layout(IN_CITIES, OF_IDD, ("_gtFine_labelcsTrainIds.png",), label_ids.TRAIN_IDS),
    "carla": Layout((OWN,), raw=label_ids.CARLA, red=True),
    "carla_0.9.13": Layout((OWN,), raw=label_ids.CARLA_TO_0_9_13, red=True),
    "carla_colours": Layout((OWN,), colours=label_colours.CARLA),
    # The archives unpacked into folders of their names, and into one.
    "vkitti2": Layout(
        (("vkitti_2.0.3_rgb", "vkitti_2.0.3_classSegmentation"), ("", "")),
        (".jpg",),
        colours=label_colours.VKITTI2,
        within=("rgb/Camera_0/rgb_", "classSegmentation/Camera_0/classgt_"),
    ),
    "urbansyn": Layout((("rgb", "ss"),), (".png",), raw=label_ids.URBANSYN, within=("rgb_", "ss_")),
    "viper": Layout((("{split}/img", "{split}/cls"),), (".jpg", ".png"), raw=label_ids.VIPER),
    "folder": Layout((OWN,)),
}
