#!/usr/bin/env bash
# From your own folders to a model that runs: check, train, score, export, segment new photographs.
#
#   docs/examples/own_folders.sh RENDERED PHOTOGRAPHS VALIDATION NEW
#   docs/examples/own_folders.sh
#
#   RENDERED      images/, labels/ and classes.json from a simulator or a game
#   PHOTOGRAPHS   the same for photographs, to train on; a few of them need a label PNG
#   VALIDATION    the same for photographs, to score on; all of them need one
#   NEW           photographs to segment at the end
#
# Without arguments it draws tiny street scenes and uses those, so that it runs anywhere in about a minute.
# Environment: OUT, where everything is written; PYTHON, the interpreter; STEPS, the length of the training.
set -euo pipefail
OUT=${OUT:-runs/own_folders}
PYTHON=${PYTHON:-python}
STEPS=${STEPS:-20}
RENDERED=${1:-$OUT/rendered}
PHOTOGRAPHS=${2:-$OUT/photographs}
VALIDATION=${3:-$OUT/validation}
NEW=${4:-$VALIDATION/images}
mkdir -p "$OUT"

# Scenes to try it on: drawn in two looks, then copied into three plain folders.
if [ $# -eq 0 ] && [ ! -e "$VALIDATION" ]; then
    "$PYTHON" -m ass_tf.streets "$OUT/drawn" --source 12 --target 12 --val 4 --size 96x192
    mkdir -p "$RENDERED" {"$PHOTOGRAPHS","$VALIDATION"}/{images,labels}
    cp -r "$OUT"/drawn/gta5/{images,labels} "$RENDERED"
    for image in "$OUT"/drawn/cityscapes/leftImg8bit/*/*/*.png; do
        name=$(basename "$image" _leftImg8bit.png)
        label=${image/leftImg8bit/gtFine}
        folder=$PHOTOGRAPHS
        [[ $image == */val/* ]] && folder=$VALIDATION
        cp "$image" "$folder/images/$name.png"
        cp "${label/_leftImg8bit.png/_gtFine_labelIds.png}" "$folder/labels/$name.png"
    done
    # classes.json: the id in the label PNGs -> its name.
    "$PYTHON" - "$RENDERED" "$PHOTOGRAPHS" "$VALIDATION" <<'END'
import json, pathlib, sys
from ass_tf import labels
for folder in sys.argv[1:]:
    names = {i: name for i, (name, _) in labels.CITYSCAPES_RAW.items()}
    pathlib.Path(folder, "classes.json").write_text(json.dumps(names, indent=1))
END
fi

# The settings. Real data want a larger backbone, larger images and many more steps.
cat > "$OUT/mine.json" <<END
{
  "method": "csa",
  "classes": ["road", "sidewalk", "building", "vegetation", "sky", "car"],
  "source": {"dataset": "folder", "root": "$RENDERED", "size": [64, 128]},
  "target": {"dataset": "folder", "root": "$PHOTOGRAPHS", "size": [64, 128], "labelled": 4},
  "validation": {"dataset": "folder", "root": "$VALIDATION", "size": [64, 128]},
  "model": {"backbone": "tiny", "rates": [2, 4], "weights": null},
  "discriminators": {"global_width": 8, "semantic_width": 32},
  "optimiser": {"lr": 0.01, "head_multiplier": 1.0, "decay_steps": $STEPS},
  "train": {"steps": $STEPS, "log_every": 10}
}
END

"$PYTHON" -m ass_tf.datasets "$OUT/mine.json"
"$PYTHON" -m ass_tf.train --config "$OUT/mine.json" --run "$OUT/run"
"$PYTHON" -m ass_tf.evaluate --run "$OUT/run"
"$PYTHON" -m ass_tf.export.to_onnx --run "$OUT/run"
"$PYTHON" -m street_inference "$OUT/run/export/model.onnx" "$NEW" --out "$OUT/segmented"
