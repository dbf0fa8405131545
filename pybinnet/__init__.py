"""Neural networks that learn with integers, bits and shifts only."""

# SPDX-License-Identifier: BSD-3-Clause

from pybinnet._bits import PackedBits, pack_bits, xnor_matmul
from pybinnet._callbacks import EpochInfo, SaveCheckpoint
from pybinnet._classifier import BinaryConnectClassifier
from pybinnet._contrast import ContrastEncoder
from pybinnet._cpu import cpu_info
from pybinnet._engine import version as _version
from pybinnet._export import export_c
from pybinnet._features import PiecewiseLinearEncoder
from pybinnet._latent import evaluate_latent
from pybinnet._layers import Conv2D, Dense, MaxPool2D
from pybinnet._onnx import export_onnx
from pybinnet._operations import count_operations
from pybinnet._regressor import BinaryConnectRegressor
from pybinnet._saved import load_model, save_model

__all__ = [
    "BinaryConnectClassifier",
    "BinaryConnectRegressor",
    "ContrastEncoder",
    "Conv2D",
    "Dense",
    "EpochInfo",
    "MaxPool2D",
    "PackedBits",
    "PiecewiseLinearEncoder",
    "SaveCheckpoint",
    "count_operations",
    "cpu_info",
    "evaluate_latent",
    "export_c",
    "export_onnx",
    "load_model",
    "pack_bits",
    "save_model",
    "xnor_matmul",
]
__version__ = _version()
