"""Neural networks that learn with integers, bits and shifts only."""

# SPDX-License-Identifier: BSD-3-Clause

from pybinnet._engine import version as _version
from pybinnet._estimators import BinaryConnectClassifier
from pybinnet._features import PiecewiseLinearEncoder
from pybinnet._training import EpochInfo

__all__ = ["BinaryConnectClassifier", "EpochInfo", "PiecewiseLinearEncoder"]
__version__ = _version()
