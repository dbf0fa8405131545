"""Checkpoint files (libbinnet/FORMAT.md): what begins them, and the appendix of a fit underway."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
import struct
from dataclasses import asdict, dataclass, field

import numpy as np

from pybinnet import _engine
from pybinnet._appendix import append, split
from pybinnet._layers import written
from pybinnet._shapes import read_image, read_layer
from pybinnet._validation import demand

_START = struct.Struct("<8sIIQQIIII")
_LAYER = 16  # bytes of a layer's header


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of its net."""

    method: _engine.Method
    seed: int
    step: int
    batch_size: int
    n_features: int
    layers: tuple[_engine.Layer, ...]
    image: tuple[int, int] | None  # height and width, for convolutions
    scales: tuple[int, ...]  # of the outputs


def read_header(data: bytes) -> Header:
    """Read the beginning of a checkpoint. All else is checked by `_engine.Net.restore`."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"checkpoint_ is of type {type(data).__name__}; give bytes")
    if len(data) < _START.size or bytes(data[:8]) != b"BINNETCK":
        raise ValueError("checkpoint_ is no checkpoint of libbinnet: it begins otherwise")
    _, _, bits, _, seed, step, batch_size, n_features, shape = _START.unpack_from(data)
    n_layers = shape & 0xFF
    if not 1 <= n_layers <= _engine.MAX_LAYERS or len(data) < _START.size + _LAYER * n_layers:
        raise ValueError("checkpoint_ is damaged: it has no header of its layers")
    words = np.frombuffer(data, "<u4", 4 * n_layers, _START.size).reshape(n_layers, 4)
    layers = tuple(read_layer(*head) for head in words[:, :2].tolist())
    at = _START.size + _LAYER * n_layers
    scales = tuple(data[at : at + layers[-1].units])
    if len(scales) < layers[-1].units:
        raise ValueError("checkpoint_ is damaged: it ends before the scales of its outputs")
    image, method = read_image(shape), _method(bits)
    try:
        written(layers)
        _engine.portable_net_size(n_features, layers, batch_size, method, image)
    except ValueError as error:
        raise ValueError(f"checkpoint_ is damaged: it is of no net ({error})") from None
    return Header(method, seed, step, batch_size, n_features, layers, image, scales)


def _method(bits: int) -> _engine.Method:
    ternary, stochastic, sign, adamax, exact = (bool(bits >> bit & 1) for bit in range(5))
    shares = bits >> 8 & 255, bits >> 16 & 255
    return _engine.Method(ternary, stochastic, sign, adamax, exact, *shares, bits >> 24)


@dataclass
class Progress:
    """How far a fit has come."""

    fingerprint: str  # of what it trains on, and how
    first_step: int = 0  # of the net
    losses: list[float] = field(default_factory=list)
    loss_sum: int = 0  # of the epoch that has begun
    scores: list[float] = field(default_factory=list)  # of the validation rows
    validation_losses: list[float] = field(default_factory=list)
    best_epoch: int = 0  # the first of the best score, from 1; 0: none
    best_checkpoint: bytes = b""
    best_model: bytes = b""

    @property
    def best_score(self) -> float:
        """The score to surpass."""
        return self.scores[self.best_epoch - 1] if self.best_epoch else -math.inf


def append_progress(checkpoint: bytes, progress: Progress) -> bytes:
    """Return a checkpoint with an appendix: JSON, then the best checkpoint and model."""
    values = asdict(progress)
    blobs = [values.pop("best_checkpoint"), values.pop("best_model")]
    values["blobs"] = [len(blob) for blob in blobs]
    return append(checkpoint, values, b"".join(blobs))


def split_progress(data: bytes, checkpoint_size: int) -> Progress | None:
    """Return what `append_progress` has added to a checkpoint of this size, if anything."""
    values, rest = split(data, checkpoint_size)
    if values is None:
        return None
    try:
        sizes = values.pop("blobs")
        checkpoint, model = rest[: sizes[0]], rest[sizes[0] : sum(sizes)]
        progress = Progress(**values, best_checkpoint=checkpoint, best_model=model)
        whole = (progress.first_step, progress.loss_sum, progress.best_epoch, *sizes)
        curves = (progress.losses, progress.scores, progress.validation_losses)
        demand(all(type(n) is int and n >= 0 for n in whole) and len(sizes) == 2, "numbers")
        demand(all(isinstance(curve, list) for curve in curves), "curves")
        demand(all(isinstance(value, float) for curve in curves for value in curve), "curves")
        demand(progress.best_epoch <= len(progress.scores) <= len(progress.losses), "curves")
        demand(len(progress.scores) == len(progress.validation_losses), "curves")
        demand(sum(sizes) <= len(rest), "best network")
    except (KeyError, TypeError, IndexError, ValueError):
        raise ValueError("checkpoint_ has an appendix of another version of pybinnet") from None
    return progress
