#!/usr/bin/env bash
# From LabelMe's files to a model and a page, say with 30 of 300 photographs annotated and no simulator: six commands.
#
#   docs/examples/labelme_to_page.sh PHOTOGRAPHS [KEY=VALUE ...]
#
#   PHOTOGRAPHS   folder of photographs, and of the JSON files that LabelMe has written for some of them
#   KEY=VALUE     settings to change, such as target.size=[360,640] validation.size=[360,640]
#
# Environment: OUT, where everything is written; PYTHON, the interpreter; VALIDATION, the number of annotated
# photographs to validate on; CLASSES, the names in LabelMe of the classes to learn.
set -euo pipefail
PHOTOGRAPHS=${1:?folder of photographs and of the files of LabelMe}
OUT=${OUT:-runs/labelme}
PYTHON=${PYTHON:-python}
VALIDATION=${VALIDATION:-6}
CLASSES=${CLASSES:-'["road", "sidewalk", "building", "vegetation", "sky", "car"]'}
SET=(method=oracle "${@:2}") # which needs no rendered images
mkdir -p "$OUT"

# The lists are found beside this file, the folders from where the commands run.
cat > "$OUT/mine.json" <<END
{
  "base": "better.json",
  "classes": $CLASSES,
  "target": {"root": "$OUT/data", "labelled_list": "data/labelled.txt"},
  "validation": {"root": "$OUT/data", "list": "data/validation.txt"}
}
END

"$PYTHON" -m ass_tf labels "$PHOTOGRAPHS" --out "$OUT/data" --validation "$VALIDATION"
"$PYTHON" -m ass_tf datasets "$OUT/mine.json" --set "${SET[@]}"
"$PYTHON" -m ass_tf train --config "$OUT/mine.json" --run "$OUT/run" --set "${SET[@]}"
"$PYTHON" -m ass_tf export --run "$OUT/run"
"$PYTHON" -m ass_tf infer "$OUT/run/export/model.onnx" "$PHOTOGRAPHS" --out "$OUT/segmented" --outputs labels overlay
"$PYTHON" -m ass_tf page "$OUT/run/export/model.onnx" --out "$OUT/page"
