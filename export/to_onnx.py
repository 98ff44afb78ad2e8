"""A trained run as an ONNX model: `python export/to_onnx.py`, the same as `python -m ass_tf.export.to_onnx`."""

import sys

from ass_tf.export.to_onnx import main
from ass_tf.system import terminal

if __name__ == "__main__":
    sys.exit(terminal.run(lambda: main(prog="python export/to_onnx.py")))
