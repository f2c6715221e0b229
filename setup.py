"""Packaging of scmn; versions that are tested are pinned in requirements.txt."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "scmn/__init__.py").read_text())
assert VERSION is not None

setup(
    name="scmn",
    version=VERSION.group(1),
    description="Memory-based video object segmentation: SCMN, STM and STCN",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["scmn", "scmn.*"]),
    package_data={"scmn": ["py.typed", "weights/*.safetensors", "evaluation/report/*.*"]},
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "resnest==0.0.5",
        "numpy>=1.26",
        # The same cv2 as opencv-python, without libGL, which servers and containers lack.
        "opencv-python-headless>=4.9",
        "pillow>=10",
        "av>=14.1",
        "jinja2>=3",
        "omegaconf>=2.4",
        "pyyaml>=6",
        "safetensors>=0.4",
        "tensorboard>=2.16",
        "tqdm>=4.66",
    ],
    extras_require={
        "coco": ["pycocotools>=2.0.8"],
        "demo": ["gradio>=5"],
        "dev": [
            "hypothesis>=6.100",
            "matplotlib>=3.8",
            "mypy>=2.4,<2.5",
            "pytest>=9,<10",
            "pytest-xdist>=3.8,<4",
            "ruff>=0.17,<0.18",
            "types-PyYAML",
            "types-tqdm",
        ],
        "notebooks": ["jupyterlab>=4", "matplotlib>=3.8"],
    },
)
