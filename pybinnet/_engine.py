"""The only importer of the compiled core: arrays in, bytes out, statuses to exceptions."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import os
import threading
from dataclasses import astuple, dataclass
from functools import cache, lru_cache
from math import prod
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from pybinnet._core import ffi, lib

_PREDICT_ROWS = 256  # rows at a time: their activations stay in the second-level cache,
_PREDICT_BYTES = 1 << 24  # where scratch memory for so many is not more than this
_ISAS = ("portable", "avx2", "avx512", "neon")

SCORE_UNIT = 8192  # a deployed score of the margin 1
MAX_FEATURES = lib.BINNET_MAX_FEATURES
MAX_UNITS = lib.BINNET_MAX_UNITS
MAX_LAYERS = lib.BINNET_MAX_LAYERS
MAX_BATCH = lib.BINNET_MAX_BATCH
MAX_RATE_EXPONENT = lib.BINNET_MAX_RATE_EXPONENT
CONV2D = lib.BINNET_CONV2D
MAX_KERNEL_SIZE = lib.BINNET_MAX_KERNEL_SIZE
MAX_POOL = lib.BINNET_MAX_POOL
MAX_CROP = lib.BINNET_MAX_CROP
CONTRASTS = lib.BINNET_CONTRASTS
MAX_DECAY = lib.BINNET_MAX_DECAY
MAX_SIZE = lib.BINNET_MAX_SIZE
MAX_POSITIONS = lib.BINNET_MAX_POSITIONS
MAX_OUTPUTS = lib.BINNET_MAX_OUTPUTS


def version() -> str:
    """Return the version of the compiled core."""
    number = lib.binnet_version()
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"


@cache
def _thread_pools() -> ThreadpoolController:
    """Return the libraries with thread pools, found once: that takes a millisecond."""
    return ThreadpoolController()


def n_threads(n_jobs: int | None) -> int:
    """Return the threads that `n_jobs` means: joblib's rule, within the limits of threadpoolctl.

    A limit that the caller set for OpenMP or BLAS, by ``threadpool_limits`` or by an environment
    variable such as OMP_NUM_THREADS, holds here too; joblib sets them in its worker processes.
    """
    threads = effective_n_jobs(n_jobs)
    if threads == 1 or not lib.pybinnet_has_threads():
        return 1
    limits = [pool["num_threads"] for pool in _thread_pools().info()]
    return int(min(threads, lib.BINNET_MAX_WORKERS, *limits))


@cache
def _named_kernels(name: str) -> Any:
    if not name:
        return lib.binnet_kernels_best()
    if name not in _ISAS:
        raise ValueError(
            f"BINNET_ISA={name!r} is unknown; use one of {', '.join(_ISAS)}, or unset it"
        )
    kernels = lib.binnet_kernels_find(name.encode())
    if kernels == ffi.NULL:
        best = isa_name(lib.binnet_kernels_best())
        raise ValueError(
            f"BINNET_ISA={name!r} is not supported by this processor or build; "
            f"unset it to use the best, {best!r}"
        )
    return kernels


def kernels() -> Any:
    """Return the kernel table: the one that BINNET_ISA names, else the fastest here."""
    return _named_kernels(os.environ.get("BINNET_ISA", ""))


def isa_name(table: Any = None) -> str:
    """Return the name of a kernel table; by default of the one in use."""
    name: bytes = ffi.string(lib.binnet_kernels_name(kernels() if table is None else table))
    return name.decode()


def supported_isas() -> list[str]:
    """Return the names of the kernel tables that this processor can run."""
    return [name for name in _ISAS if lib.binnet_kernels_find(name.encode()) != ffi.NULL]


def _check(status: int, what: str) -> None:
    if status != lib.BINNET_OK:
        raise ValueError(f"{what}: {ffi.string(lib.binnet_status_text(status)).decode()}")


def _buffer(n_bytes: int) -> NDArray[np.uint8]:
    """Bytes that begin at a cache line."""
    raw = np.empty(n_bytes + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + n_bytes]


def _pointer(kind: str, array: NDArray[Any]) -> Any:
    return ffi.from_buffer(f"{kind}[]", array)


def _start_threads(n_jobs: int | None) -> tuple[Any, Any]:
    """Return the hook that runs tasks on threads and the pool they end with; NULL for none."""
    n_workers = n_threads(n_jobs)
    if n_workers == 1:
        return ffi.NULL, ffi.NULL
    parallel = ffi.new("binnet_parallel *")  # before there are threads, which an error would leave
    pool = ffi.gc(lib.pybinnet_pool_new(n_workers), lib.pybinnet_pool_free)
    if pool == ffi.NULL:
        raise MemoryError(f"no memory for {n_workers} threads")
    parallel.run = lib.pybinnet_pool_run
    parallel.pool = pool
    parallel.n_workers = n_workers
    return parallel, pool


_kept = threading.local()


def _keep_threads(n_jobs: int | None) -> tuple[Any, Any]:
    """As `_start_threads`, but the threads wait for the next call of this thread."""
    wanted = n_threads(n_jobs), os.getpid()  # threads do not survive a fork
    if getattr(_kept, "wanted", None) != wanted:
        _kept.threads = _start_threads(n_jobs)
        _kept.wanted = wanted
    parallel, pool = _kept.threads
    return parallel, pool


def xnor_matmul(
    a: NDArray[np.uint64],
    b: NDArray[np.uint64],
    n_bits: int,
    product: NDArray[np.int32],
    n_jobs: int | None = None,
) -> None:
    """Write the product ``a @ b.T`` of packed ±1 matrices, which `product` must not overlap."""
    if product.size == 0:
        return
    parallel, _pool = _keep_threads(n_jobs)
    scratch = _buffer(lib.binnet_xnor_scratch_size(n_bits, kernels(), parallel))
    status = lib.binnet_xnor_matmul(
        _pointer("uint64_t", a),
        len(a),
        _pointer("uint64_t", b),
        len(b),
        n_bits,
        kernels(),
        parallel,
        _pointer("int32_t", product),
        _pointer("uint8_t", scratch),
        scratch.size,
    )
    _check(status, "binnet_xnor_matmul")


def row_order(seed: int, epoch: int, n_rows: int) -> NDArray[np.uint32]:
    """Return the order in which an epoch takes its rows."""
    order = np.empty(n_rows, dtype=np.uint32)
    _check(
        lib.binnet_row_order(seed, epoch, n_rows, _pointer("uint32_t", order)), "binnet_row_order"
    )
    return order


@dataclass(frozen=True)
class Method:
    """How a net learns: `binnet_method`. False is the default of each choice."""

    ternary: bool = False
    stochastic: bool = False
    sign: bool = False
    adamax: bool = False
    exact: bool = False
    dropout: int = 0  # in 1/256
    input_dropout: int = 0  # likewise
    decay: int = 0  # of weights, by 2^-decay of the learning rate; 0: none


@dataclass(frozen=True)
class Layer:
    """A layer: `binnet_layer`. One with a `kernel_size` is a convolution, else fully connected."""

    units: int
    kernel_size: int = 0
    stride: int = 1
    valid: bool = False
    pool: int = 1


def dense(*units: int) -> tuple[Layer, ...]:
    """Return fully connected layers of so many units each."""
    return tuple(map(Layer, units))


def _described(layers: tuple[Layer, ...]) -> str:
    """Layers as messages have them."""
    if any(layer.kernel_size for layer in layers):
        return f"layers {list(layers)}"
    return f"layers of {[layer.units for layer in layers]} units"


def _config(
    n_features: int,
    layers: tuple[Layer, ...],
    batch_size: int,
    method: Method,
    image: tuple[int, int] | None,
) -> tuple[Any, Any]:
    """A `binnet_config` with what sizes depend on, and the layers that it points to."""
    of_c = ffi.new("binnet_layer[]", len(layers))
    for to, layer in zip(of_c, layers, strict=True):
        to.kind = lib.BINNET_CONV2D if layer.kernel_size else lib.BINNET_DENSE
        to.units = layer.units
        if layer.kernel_size:
            to.kernel_size, to.stride, to.pool = layer.kernel_size, layer.stride, layer.pool
            to.padding = lib.BINNET_VALID if layer.valid else lib.BINNET_SAME
    config = ffi.new("binnet_config *")
    config.n_features = n_features
    config.n_layers = len(layers)
    config.batch_size = batch_size
    config.layers = of_c
    config.method = astuple(method)
    config.height, config.width = image or (0, 0)
    return config, of_c


class Net:
    """A net in training, in an arena of its own.

    Parameters
    ----------
    n_features : int
    layers : tuple of Layer
        The units of the last are the classes.
    batch_size : int
        The most rows of a step.
    seed : int
        From 0 to 2**64 - 1.
    class_counts : ndarray of shape (n_classes,)
        Training rows of each class.
    method : Method
    n_jobs : int or None
        Threads, with joblib's meaning.
    n_rows : int
        Rows that `class_counts` is of, where classes do not exclude each other; 0: their sum.
    image : tuple of int, optional
        Height and width of rows that are images, for convolutions.

    Raises
    ------
    ValueError
        If a size is beyond the core's limits, or a count is larger than `n_rows`.
    MemoryError
        If there is no memory for the arena.
    """

    def __init__(
        self,
        n_features: int,
        layers: tuple[Layer, ...],
        batch_size: int,
        seed: int,
        class_counts: NDArray[Any],
        method: Method = Method(),
        n_jobs: int | None = None,
        n_rows: int = 0,
        image: tuple[int, int] | None = None,
    ) -> None:
        config, _of_c = _config(n_features, layers, batch_size, method, image)
        counts = np.ascontiguousarray(class_counts, dtype=np.uint32)
        parallel, self._pool = _start_threads(n_jobs)
        config.seed = seed
        config.class_counts = _pointer("uint32_t", counts)
        config.n_rows = n_rows
        config.kernels = kernels()
        config.parallel = parallel
        size = ffi.new("size_t *")
        what = f"a net of {n_features} features and {_described(layers)}"
        _check(lib.binnet_net_size(config, size), what)
        self.n_bytes = int(size[0])
        try:
            self._arena = _buffer(self.n_bytes)
        except MemoryError:
            raise MemoryError(
                f"{what}, with batches of {batch_size} rows, needs {self.n_bytes / 2**20:.0f} MiB "
                "to learn, and they cannot be had; a smaller batch_size or smaller layers need less"
            ) from None
        net = ffi.new("binnet_net **")
        _check(lib.binnet_net_init(net, _pointer("uint8_t", self._arena), size[0], config), what)
        self._net = net[0]
        self.seed = seed
        self._batch_size = batch_size
        self._loss = ffi.new("uint64_t *")

    @property
    def step(self) -> int:
        """Steps trained so far."""
        return int(lib.binnet_net_step(self._net))

    @property
    def loss(self) -> int:
        """Loss of the last step, in 1/1024."""
        return int(self._loss[0])

    def train_step(
        self, x: NDArray[np.uint8], labels: NDArray[np.uint16], rate_exponent: int
    ) -> int:
        """Train on a batch at the rate ``2**-rate_exponent``; return the loss, in 1/1024."""
        status = lib.binnet_net_train_step(
            self._net,
            _pointer("uint8_t", x),
            _pointer("uint16_t", labels),
            len(x),
            rate_exponent,
            self._loss,
        )
        _check(status, "binnet_net_train_step")
        return self.loss

    def train_step_targets(
        self, x: NDArray[np.uint8], targets: NDArray[np.int8], rate_exponent: int
    ) -> int:
        """Train on a batch as `train_step` does, on targets of shape (n_rows, n_outputs).

        A target is -32 to 32, 32 being the margin 1. An output beyond a target of 32 or -32 is no
        error, of one between them the loss is the square of the difference.
        """
        status = lib.binnet_net_train_step_targets(
            self._net,
            _pointer("uint8_t", x),
            _pointer("int8_t", targets),
            len(x),
            rate_exponent,
            self._loss,
        )
        _check(status, "binnet_net_train_step_targets")
        return self.loss

    def calibrate(self, x: NDArray[np.uint8]) -> None:
        """Measure the normalisation statistics of the present weights on training rows."""
        for start in range(0, len(x), self._batch_size):
            batch = x[start : start + self._batch_size]
            if start and len(batch) < self._batch_size:
                break  # a short batch would weigh as much as a full one
            status = lib.binnet_net_calibrate(self._net, _pointer("uint8_t", batch), len(batch))
            _check(status, "binnet_net_calibrate")

    @property
    def checkpoint_size(self) -> int:
        """Bytes of a checkpoint without appendix."""
        return int(lib.binnet_checkpoint_size(self._net))

    def checkpoint(self) -> bytes:
        """Return the training state."""
        out = np.empty(self.checkpoint_size, dtype=np.uint8)
        status = lib.binnet_checkpoint_write(self._net, _pointer("uint8_t", out), out.size)
        _check(status, "binnet_checkpoint_write")
        return out.tobytes()

    def restore(self, checkpoint: bytes) -> None:
        """Go back to a training state of a net of the same configuration."""
        source = ffi.from_buffer(checkpoint)
        _check(lib.binnet_checkpoint_read(self._net, source, len(checkpoint)), "the checkpoint")

    def model(self) -> bytes:
        """Return the deployed model. Calibrate first."""
        out = np.empty(lib.binnet_model_size(self._net), dtype=np.uint8)
        status = lib.binnet_model_write(self._net, _pointer("uint8_t", out), out.size)
        _check(status, "binnet_model_write")
        return out.tobytes()


@dataclass(frozen=True)
class Augmentation:
    """How images are varied from step to step: `binnet_augmentation`."""

    height: int
    width: int
    channels: int
    flip: bool
    crop: int


def augment(how: Augmentation, seed: int, step: int, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images, a row each, as the training step of a net with this seed takes them."""
    x = np.ascontiguousarray(x)
    out = np.empty_like(x)
    if x.shape[1] != how.height * how.width * how.channels:
        raise ValueError(f"rows of {x.shape[1]} numbers are no images of {how}")
    status = lib.binnet_augment(
        ffi.new("binnet_augmentation *", astuple(how)),
        seed,
        step,
        _pointer("uint8_t", x),
        len(x),
        _pointer("uint8_t", out),
    )
    _check(status, f"binnet_augment of {how}")
    return out


def contrasts(x: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the contrasts of images, a row each: `CONTRASTS` features of each of their numbers."""
    x = np.ascontiguousarray(x)
    if x.shape[1] != prod(shape):
        raise ValueError(f"rows of {x.shape[1]} numbers are no images of {shape}")
    try:
        out = np.empty((len(x), x.shape[1] * CONTRASTS), dtype=np.uint8)
    except MemoryError as error:  # which says how much
        raise MemoryError(f"{error}: the contrasts of all images; give fewer at a time") from None
    status = lib.binnet_contrasts(*shape, _pointer("uint8_t", x), len(x), _pointer("uint8_t", out))
    _check(status, f"binnet_contrasts of {shape}")
    return out


def rate_exponent(first: int, last: int, step: int, n_steps: int) -> int:
    """Return the learning-rate exponent of a step."""
    return int(lib.binnet_rate_exponent(first, last, step, n_steps))


@lru_cache(maxsize=4)
def _open_model(model: bytes, isa: str) -> tuple[Any, Any]:
    """Check a model and open it. The same bytes object, as an estimator has it, is opened once."""
    opened = ffi.new("binnet_model *")
    source = ffi.from_buffer(model)
    _check(lib.binnet_model_open(opened, source, len(model), _named_kernels(isa)), "the model")
    return opened, source


def predict_scores(model: bytes, x: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the scores of rows, shape (n_rows, n_classes), `SCORE_UNIT` being the margin 1."""
    opened, _ = _open_model(model, isa_name())
    if x.shape[1] != opened.n_features:
        raise ValueError(f"the model takes {opened.n_features} features, got {x.shape[1]}")
    scores = np.empty((len(x), opened.n_classes), dtype=np.int32)
    n_bytes = _scratch_size(opened, max(1, min(len(x), _PREDICT_ROWS)))
    status = lib.binnet_model_predict(
        opened,
        _pointer("uint8_t", np.ascontiguousarray(x)),
        len(x),
        _pointer("int32_t", scores),
        ffi.NULL,
        _pointer("uint8_t", _buffer(n_bytes)),
        n_bytes,
    )
    _check(status, "binnet_model_predict")
    return scores


def _scratch_size(opened: Any, n_rows: int) -> int:
    """Scratch bytes to predict at most so many rows at a time; fewer where rows take much."""
    n_bytes = int(lib.binnet_model_scratch_size(opened, n_rows))
    while n_rows > 1 and n_bytes > _PREDICT_BYTES:
        n_rows //= 2
        n_bytes = int(lib.binnet_model_scratch_size(opened, n_rows))
    return n_bytes


def model_sizes(model: bytes) -> tuple[int, int, int]:
    """Return the bytes that a model has without appendix, its features and its outputs.

    Raises a ValueError if the bytes are no model.
    """
    opened, _ = _open_model(model, isa_name())
    return int(opened.bare_bytes), int(opened.n_features), int(opened.n_classes)


def portable_scratch_size(model: bytes) -> int:
    """Return the scratch bytes with which the portable kernels predict one row."""
    opened, _ = _open_model(model, "portable")
    return int(lib.binnet_model_scratch_size(opened, 1))


def portable_net_size(
    n_features: int,
    layers: tuple[Layer, ...],
    batch_size: int,
    method: Method,
    image: tuple[int, int] | None = None,
) -> int:
    """Return the arena bytes of a net with the portable kernels and no threads."""
    config, _of_c = _config(n_features, layers, batch_size, method, image)
    config.kernels = lib.binnet_kernels_find(b"portable")
    size = ffi.new("size_t *")
    _check(lib.binnet_net_size(config, size), f"a net of {_described(layers)}")
    return int(size[0])
