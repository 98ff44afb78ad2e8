"""A trained run as ONNX or SavedModel."""
