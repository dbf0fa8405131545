"""The text of the C header that `export_c` writes."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pybinnet._engine import Layer
from pybinnet._integer_ramps import INT32, IntegerRamps, fit_int32

# C whose names begin with name_ or NAME_; `header` puts the exported name in.
_NAME = re.compile(r'"[^"\n]*"|\b(?:name|NAME)(?=_)')  # and strings, which are left alone

_BYTES = """\
typedef uint8_t name_input; /* as in training */
"""

_RAMPS = """\
typedef int32_t name_input; /* 2^NAME_FRACTION_BITS times the number in training, any int32 */
"""

_ENCODE = """\
/* The place of x between two edges, 0 to 255: (255 (x - low) + width / 2) / width. This is a long
 * division to 8 bits, as not every processor has a divider. Edges are below 2^51: all fits. */
static inline uint8_t name_ramp(int64_t x, int64_t low, int64_t high) {
    if (x >= high) return 255;
    if (x <= low) return 0;
    uint64_t part = (uint64_t)(high - low);
    uint64_t rest = ((uint64_t)(x - low) << 8) - (uint64_t)(x - low) + (part >> 1);
    uint32_t byte = 0;
    part <<= 7;
    for (uint32_t bit = 128; bit > 0; bit >>= 1, part >>= 1) {
        if (rest < part) continue;
        rest -= part;
        byte |= bit;
    }
    return (uint8_t)byte;
}

/* Turns NAME_N_INPUTS inputs into the network's NAME_N_FEATURES features: the bytes that pybinnet
 * makes of the same numbers. */
static inline void name_encode(const name_input *inputs, uint8_t *features) {
    uint8_t *feature = features;
    const name_edge *low = name_edges;
    for (uint32_t i = 0; i < NAME_N_INPUTS; ++i) {
        const int64_t x = inputs[i] * ((int64_t)1 << NAME_EDGE_BITS);
        const uint32_t n_ramps = name_n_ramps[i], span = name_spans[i];
        const name_edge *high = low + (n_ramps > 0);
        for (uint32_t n = 1; n <= n_ramps; ++n) {
            *feature++ = name_ramp(x, *low, *high);
            if (n >= span) ++low;
            if (n + span <= n_ramps) ++high;
        }
        if (n_ramps > 0) ++low; /* it was the last edge */
    }
"""

_EXCEPT = """\
    for (size_t e = 0; e < sizeof name_exceptions / sizeof name_exceptions[0]; ++e)
        if (inputs[name_exceptions[e].input] == name_exceptions[e].value)
            features[name_exceptions[e].feature] = name_exceptions[e].byte;
"""

_OPEN = """\
/* Checks the model and opens it, which takes a while: do it once. With the portable kernels, as
 * others would want more scratch. */
static inline binnet_status name_open(binnet_model *model) {
    return binnet_model_open(model, name_model, sizeof name_model,
                             binnet_kernels_find("portable"));
}

/* Classifies NAME_N_INPUTS inputs. scores [NAME_N_CLASSES] and class_index (into name_classes) may
 * be NULL. The scratch is aligned to BINNET_ALIGNMENT and has NAME_SCRATCH_BYTES or more. */
static inline binnet_status name_predict(const binnet_model *model, const name_input *inputs,
                                         int32_t *scores, uint16_t *class_index, void *scratch,
                                         size_t scratch_bytes) {
"""

_PREDICT_BYTES = """\
    return binnet_model_predict(model, inputs, 1, scores, class_index, scratch, scratch_bytes);
}
"""

_PREDICT_RAMPS = """\
    if (!inputs || !scratch) return BINNET_ERR_ARGUMENT;
    if (scratch_bytes < NAME_SCRATCH_BYTES) return BINNET_ERR_BUFFER_SIZE;
    const size_t library_bytes = NAME_SCRATCH_BYTES - NAME_N_FEATURES;
    uint8_t *features = (uint8_t *)scratch + library_bytes;
    name_encode(inputs, features);
    return binnet_model_predict(model, features, 1, scores, class_index, scratch, library_bytes);
}
"""

_SELFTEST = """\
/* Opens the model and predicts the test rows: OK if each score and class is as it was in Python,
 * MISMATCH if not, or else the error that was met. Scratch as above. */
static inline binnet_status name_selftest(void *scratch, size_t scratch_bytes) {
    binnet_model model;
    binnet_status status = name_open(&model);
    for (size_t i = 0; status == BINNET_OK && i < NAME_N_TESTS; ++i) {
        int32_t scores[NAME_N_CLASSES];
        uint16_t class_index;
        status = name_predict(&model, name_test_inputs[i], scores, &class_index, scratch,
                              scratch_bytes);
        if (status == BINNET_OK && (class_index != name_test_classes[i] ||
                                    memcmp(scores, name_test_scores[i], sizeof scores) != 0))
            status = BINNET_ERR_MISMATCH;
    }
    return status;
}
"""

_TOP = """\
/* {what}
 * Made by pybinnet {version} (export_c); not to be edited.
 * Include it in one C file only: each that does has a copy of the model.
 *
 *     static binnet_model model;
 *     static uint64_t scratch[(NAME_SCRATCH_BYTES + 7) / 8];
 *     name_input inputs[NAME_N_INPUTS];
 *     uint16_t class_index;
 *
 *     if (name_selftest(scratch, sizeof scratch) != BINNET_OK) {{ ... }} // at boot
 *     if (name_open(&model) != BINNET_OK) {{ ... }}
 *     if (name_predict(&model, inputs, NULL, &class_index, scratch, sizeof scratch) == BINNET_OK)
 *         ... name_classes[class_index] ...
 */
#ifndef NAME_H
#define NAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "binnet.h"
"""


@dataclass(frozen=True)
class State:
    """What a device goes on learning from."""

    checkpoint: bytes
    seed: int
    batch_size: int
    layers: tuple[Layer, ...]
    image: tuple[int, int]  # height and width, for convolutions, else 0, 0
    method: tuple[int, ...]  # as binnet_method
    class_counts: NDArray[Any]
    n_rows: int  # that they are of; 0: their sum
    rate_exponents: tuple[int, int]
    arena_bytes: int  # with the portable kernels


@dataclass(frozen=True)
class Exported:
    """What a header is about."""

    name: str  # a C identifier
    version: str  # of pybinnet
    what: str  # of the network, a sentence
    model: bytes
    classes: NDArray[Any]
    n_features: int
    library_scratch: int  # for one row
    ramps: IntegerRamps | None  # None: the inputs are the features
    fraction_bits: int
    test_inputs: NDArray[Any]  # (n_tests, n_inputs)
    test_scores: NDArray[np.int32]  # (n_tests, n_classes)
    state: State | None


def header(exported: Exported) -> str:
    """Return the header, with the exported name wherever a name is to be."""
    ramps = exported.ramps
    top = _TOP.format(what=exported.what, version=exported.version)
    model = np.frombuffer(exported.model, dtype=np.uint8)
    parts = [
        top + "\n" + _sizes(exported),
        _BYTES if ramps is None else _RAMPS,
        _array("uint8_t name_model[NAME_MODEL_BYTES]", map("0x{:02x}".format, model)),
        _classes(exported.classes),
        *([] if ramps is None else _encoder(ramps)),
        _OPEN + (_PREDICT_BYTES if ramps is None else _PREDICT_RAMPS),
        _tests(exported),
        _SELFTEST,
        *([] if exported.state is None else [_learning(exported.state)]),
        "#endif\n",
    ]
    names = {"name": exported.name, "NAME": exported.name.upper()}
    return _NAME.sub(lambda found: names.get(found[0], found[0]), "\n".join(parts))


def _sizes(exported: Exported) -> str:
    sizes: dict[str, Any] = {
        "N_INPUTS": exported.test_inputs.shape[1],
        "N_FEATURES": exported.n_features,
        "N_CLASSES": len(exported.classes),
        "MODEL_BYTES": len(exported.model),
        "SCRATCH_BYTES": exported.library_scratch,
        "N_TESTS": len(exported.test_inputs),
    }
    notes = {"N_FEATURES": "bytes that the network takes", "SCRATCH_BYTES": "of name_predict"}
    if exported.ramps is not None:
        sizes["SCRATCH_BYTES"] += exported.n_features
        sizes["FRACTION_BITS"] = exported.fraction_bits
        sizes["EDGE_BITS"] = exported.ramps.edge_bits
        notes["SCRATCH_BYTES"] += f": {exported.library_scratch} of the library, and features"
        notes["EDGE_BITS"] = "an edge of 1 is an input of 2^-NAME_EDGE_BITS"
    lines = []
    for key, value in sizes.items():
        note = f" /* {notes[key]} */" if key in notes else ""
        lines.append(f"#define NAME_{key} {value}{note}\n")
    return "".join(lines)


def _classes(classes: NDArray[Any]) -> str:
    """The labels: numbers if all are int32, though their type be another, or else texts."""
    if classes.dtype.kind in "biuf":
        numbers = classes.astype(np.float64)
        if np.all((numbers == np.rint(numbers)) & (INT32.min <= numbers) & (numbers <= INT32.max)):
            return _array("int32_t name_classes[NAME_N_CLASSES]", map(int, classes))
    return _array("char *const name_classes[NAME_N_CLASSES]", map(_literal, classes))


def _literal(label: Any) -> str:
    """A C string in UTF-8. A question mark could be part of a trigraph, so it is octal too."""
    plain = (0x20 <= byte < 0x7F and chr(byte) not in '"\\?' for byte in str(label).encode())
    characters = zip(str(label).encode(), plain, strict=True)
    return '"' + "".join(chr(byte) if ok else f"\\{byte:03o}" for byte, ok in characters) + '"'


def _encoder(ramps: IntegerRamps) -> list[str]:
    edge_type = "int32_t" if fit_int32(ramps.edges) else "int64_t"
    parts = [
        f"typedef {edge_type} name_edge;\n",
        "/* Ramps of each input; intervals between edges that a ramp covers; and the edges, of an\n"
        " * input with n ramps of span s n - s + 2, or none. */\n"
        + _array("uint8_t name_n_ramps[NAME_N_INPUTS]", ramps.n_ramps)
        + _array("uint8_t name_spans[NAME_N_INPUTS]", ramps.spans)
        + _array("name_edge name_edges[]", ramps.edges),
    ]
    if ramps.exceptions:
        fields = "int32_t value; uint32_t input, feature; uint8_t byte;"
        rows = (f"{{{e.value}, {e.column}, {e.feature}, {e.byte}}}" for e in ramps.exceptions)
        parts.append(
            "/* Inputs of which roundings in Python make another byte than exact arithmetic. */\n"
            + _array(f"struct {{ {fields} }} name_exceptions[]", rows)
        )
    parts.append(_ENCODE + (_EXCEPT if ramps.exceptions else "") + "}\n")
    return parts


def _tests(exported: Exported) -> str:
    scores = exported.test_scores
    return (
        _rows("name_input name_test_inputs[NAME_N_TESTS][NAME_N_INPUTS]", exported.test_inputs)
        + _rows("int32_t name_test_scores[NAME_N_TESTS][NAME_N_CLASSES]", scores)
        + _array("uint16_t name_test_classes[NAME_N_TESTS]", scores.argmax(axis=1))
    )


def _learning(state: State) -> str:
    first, last = state.rate_exponents
    height, width = state.image
    method = ", ".join(map(str, state.method))
    checkpoint = map("0x{:02x}".format, np.frombuffer(state.checkpoint, dtype=np.uint8))
    return (
        "/* To go on learning: binnet_net_init with name_config, then binnet_checkpoint_read of\n"
        " * name_checkpoint. SIMD kernels would want a larger arena: on a PC set the kernels of a\n"
        ' * copy of name_config to binnet_kernels_find("portable"). */\n'
        f"#define NAME_BATCH_SIZE {state.batch_size}\n"
        f"#define NAME_ARENA_BYTES {state.arena_bytes} "
        "/* with pointers of 64 bits; with smaller ones a little less will do */\n"
        f"#define NAME_FIRST_RATE {first} /* learning rates fell from 2^-{first} */\n"
        f"#define NAME_LAST_RATE {last}\n"
        f"#define NAME_CHECKPOINT_BYTES {len(state.checkpoint)}\n"
        + _array("uint32_t name_class_counts[NAME_N_CLASSES]", state.class_counts)
        + _array(f"binnet_layer name_layers[{len(state.layers)}]", map(_layer, state.layers))
        + "static const binnet_config name_config = {\n"
        f"    {state.seed}u, NAME_N_FEATURES, {len(state.layers)}, NAME_BATCH_SIZE, name_layers,\n"
        f"    {{{method}}}, name_class_counts, {state.n_rows}, {height}, {width},\n"
        "    NULL, NULL};\n" + _array("uint8_t name_checkpoint[NAME_CHECKPOINT_BYTES]", checkpoint)
    )


def _layer(layer: Layer) -> str:
    """An initializer of binnet_layer."""
    if not layer.kernel_size:
        return f"{{BINNET_DENSE, {layer.units}, 0, 0, 0, 0}}"
    padding = "BINNET_VALID" if layer.valid else "BINNET_SAME"
    sizes = f"{layer.kernel_size}, {layer.stride}, {padding}, {layer.pool}"
    return f"{{BINNET_CONV2D, {layer.units}, {sizes}}}"


def _array(declaration: str, values: Iterable[Any]) -> str:
    return f"static const {declaration} = {{\n{_lines(values)}}};\n"


def _rows(declaration: str, rows: NDArray[Any]) -> str:
    values = "".join(f"    {{\n{_lines(row, 8)}    }},\n" for row in rows)
    return f"static const {declaration} = {{\n{values}}};\n"


def _lines(values: Iterable[Any], indent: int = 4) -> str:
    """Values with commas, in lines of at most 100 characters unless one value is longer."""
    lines = [" " * (indent - 1)]
    for value in map(str, values):
        if len(lines[-1]) + len(value) > 98 and lines[-1].strip():
            lines.append(" " * (indent - 1))
        lines[-1] += f" {value},"
    return "".join(f"{line}\n" for line in lines)
