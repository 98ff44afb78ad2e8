"""The paper's mIoU (percent, Cityscapes' validation set), to compare with ours where the experiment is the same.

Source: Wang et al. 2020, arXiv 2004.00794, tables 1 to 3. In table 3 the rows 50, 100 and 200 are printed with the
columns of GA and GA+CSA swapped, by its own column "Improve"; here they are corrected.
"""

from __future__ import annotations

from ass_tf.config.methods import METHODS

ALL = 2975  # labelled images of Cityscapes

TABLE_1 = {  # GTA5 to Cityscapes, 19 classes: method -> labelled images -> mIoU
    "oracle": {50: 39.5, 100: 43.6, 200: 47.1, 500: 53.6, 1000: 58.6, ALL: 65.9},
    "ga": {0: 42.4, 50: 50.0, 100: 53.5, 200: 54.4, 500: 56.5, 1000: 58.0, ALL: 59.71},
    "fcsa": {50: 50.2, 100: 54.1, 200: 56.4, 500: 59.9, 1000: 63.8, ALL: 68.8},
    "csa": {50: 50.1, 100: 54.2, 200: 56.0, 500: 60.2, 1000: 64.5, ALL: 69.1},
}
TABLE_2 = {  # GTA5 to Cityscapes: method -> labelled images -> lambda_sadv -> mIoU
    "fcsa": {
        100: {1.0: 54.11, 0.2: 53.87, 0.04: 53.68, 0.008: 53.96},
        500: {1.0: 59.76, 0.2: 59.29, 0.04: 59.89, 0.008: 59.74},
    },
    "csa": {500: {1.0: 59.76, 0.1: 59.46, 0.01: 60.16, 0.001: 59.67}},
}
TABLE_3 = {  # SYNTHIA to Cityscapes, 13 classes
    "oracle": {50: 52.6, 100: 57.6, 200: 60.8, 500: 66.5, 1000: 70.7, ALL: 73.8},
    "ga": {0: 46.7, 50: 57.4, 100: 58.3, 200: 64.5, 500: 69.1, 1000: 71.8, ALL: 75.0},
    "csa": {50: 60.7, 100: 62.1, 200: 64.8, 500: 69.8, 1000: 73.0, ALL: 77.1},
}


def miou(source: str, target: str, method: str, labelled: int | str, lambda_sadv: float | None = None) -> float | None:
    """The paper's mIoU for an experiment with its ResNet-101, or None where it has none.

    Args:
        source, target: kinds of data set, as in `schema.Domain.dataset`.
        method: as in `schema.Config`.
        labelled: number of labelled target images, or "all".
        lambda_sadv: as the settings state it; None: the method's usual one.

    Returns:
        Of GTA5 from table 2 where `lambda_sadv` is stated and the table has it, else from table 1; of SYNTHIA from
        table 3, 13 classes. For FCSA with 100 labels and the usual weight the two tables disagree, 54.1 and 53.68.
    """
    if target != "cityscapes":
        return None
    count = ALL if isinstance(labelled, str) else labelled
    weights = TABLE_2.get(method, {}).get(count, {}) if source == "gta5" else {}
    if lambda_sadv is not None and lambda_sadv in weights:
        return weights[lambda_sadv]
    usual = METHODS[method].lambda_sadv  # of tables 1 and 3
    if usual and lambda_sadv not in (None, usual):
        return None
    table = {"gta5": TABLE_1, "synthia": TABLE_3}.get(source, {})
    return table.get(method, {}).get(count)
