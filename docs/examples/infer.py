"""One photograph through an exported model: python infer.py MODEL.onnx PHOTOGRAPH LABELS.png"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1])
about = session.get_modelmeta().custom_metadata_map
photograph = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
photograph.thumbnail([max(json.loads(about["size"]))] * 2)  # the size that the model was trained for
(labels,) = session.run(["labels"], {"image": np.asarray(photograph)[None]})
picture = Image.fromarray(labels[0])  # train ids
picture.putpalette(np.ravel(json.loads(about["colours"])).tolist())
picture.save(sys.argv[3])
for train_id, name in enumerate(json.loads(about["class_names"])):
    print(f"{name:<16}{np.mean(labels == train_id):7.2%}")
