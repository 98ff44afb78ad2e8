"""Street images through an exported model: `python export/infer_onnx.py MODEL IMAGES... --out DIR`.

The code is the folder street_inference beside this file, which stands alone.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from street_inference.command import main

if __name__ == "__main__":
    sys.exit(main())
