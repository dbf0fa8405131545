"""The reader of deployed models: what the reference reads of the same bytes; what is refused."""

from itertools import pairwise

import numpy as np
import pytest
import reference
from crafted import crafted_model

from pybinnet._model_file import Norms, Thresholds, read_model


@pytest.mark.parametrize("ternary", [False, True])
@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("sizes", [(1, 2), (7, 3), (9, 5, 2), (64, 65, 63, 8, 3), (130, 66, 4)])
def test_as_the_reference_reads(sizes, ternary, sign):
    sign = sign and len(sizes) > 2
    model = crafted_model(np.random.default_rng(0), sizes, ternary=ternary, sign=sign)
    n_features, expected = reference.read_model(model)
    layers = read_model(model)
    assert [layer.weights.shape[::-1] for layer in layers] == list(pairwise(sizes))
    assert n_features == sizes[0]
    for index, (layer, wanted) in enumerate(zip(layers, expected, strict=True)):
        assert layer.weights.dtype == np.int8
        np.testing.assert_array_equal(layer.weights, wanted.w)
        if sign and index < len(layers) - 1:
            assert isinstance(layer.rule, Thresholds)
            np.testing.assert_array_equal(layer.rule.values, wanted.theta)
        else:
            assert isinstance(layer.rule, Norms)
            np.testing.assert_array_equal(layer.rule.means, wanted.mean)
            np.testing.assert_array_equal(layer.rule.biases, wanted.beta)
            np.testing.assert_array_equal(layer.rule.shifts, wanted.scale[2])
            ones = np.ones(len(wanted.w), dtype=np.int64)
            np.testing.assert_array_equal(layer.rule.factors, reference.scaled(ones, wanted.scale))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model[:-1], "shorter or longer"),
        (lambda model: model[:70] + bytes([model[70] ^ 1]) + model[71:], "CRC-32 is wrong"),
        (lambda model: b"BINNETCK" + model[8:], "of the wanted kind"),
        (lambda model: b"", "of the wanted kind"),
    ],
)
def test_refuses(change, message):
    model = crafted_model(np.random.default_rng(0), (9, 5, 2))
    with pytest.raises(ValueError, match=message):
        read_model(change(model))
