"""Street-scene segmentation adapted from rendered to photographed images (Wang et al. 2020, arXiv 2004.00794).

Letters in shapes: b batch, h w pixels, u v cells of the feature grid, d feature channels, c classes.
Sizes are (height, width). Images are RGB with values 0 to 255; normalisation is inside the model. Labels are
int32 train ids, `labels.IGNORE` where a pixel takes no part. SOURCE and TARGET are in `labels`, too.
"""

import importlib.util
import os
import sys
from pathlib import Path

__version__ = "0.1.0"

# Read by TensorFlow's C++ side when it is first imported: only errors reach stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if importlib.util.find_spec("street_inference") is None:  # a checkout that was installed before that folder was there
    sys.path.append(str(Path(__file__).resolve().parents[1] / "export"))
