"""Street images through an exported model: `python export/infer_onnx.py MODEL IMAGES... --out DIR`.

The code is in the folder street_inference next to this file, which needs nothing else of the package.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from street_inference.command import main

if __name__ == "__main__":
    sys.exit(main())
