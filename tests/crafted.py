"""Deployed models that no training makes: every scale, extreme means, biases and thresholds."""

import numpy as np
import reference

TERMS = [0, 1, 2, 3, 4, 5, -3, -4, -5]


def crafted_model(rng, sizes, *, ternary=False, sign=False, shifts=(-8, 30)):
    """A model of random units; `sizes` are features, hidden units and classes.

    Features may be the shape of images, and hidden units convolutions.
    """
    layers, n_features = [], int(np.prod(sizes[0]))
    shape = sizes[0] if isinstance(sizes[0], tuple) else None
    for N, M, images in reference.layout(n_features, sizes[1:], shape):
        weights = rng.choice([-1, 0, 1] if ternary else [-1, 1], (M, N))
        if sign and len(layers) < len(sizes) - 2:
            ends = [-255 * N, 255 * N + 1, 0]
            theta = np.where(rng.random(M) < 0.2, rng.choice(ends, M), rng.integers(-N, N + 1, M))
            layers.append(reference.Deployed(weights, theta=theta, images=images))
            continue
        spread = 20 * int(np.sqrt(N))
        layers.append(
            reference.Deployed(
                weights,
                mean=np.where(
                    rng.random(M) < 0.2,
                    rng.choice([-255 * N, 255 * N], M),
                    rng.integers(-spread, spread + 1, M).clip(-255 * N, 255 * N),
                ),
                beta=np.where(
                    rng.random(M) < 0.2,
                    rng.choice([-24576, 24576, -128, -129], M),
                    rng.integers(-24576, 24577, M),
                ),
                scale=_scale(rng, M, shifts),
                images=images,
            )
        )
    method = reference.Method(ternary=ternary, sign=sign)
    return reference.write_model(n_features, layers, method)


def _scale(rng, M, shifts):
    """Half of all shifts are such as training finds, so that scores differ between rows."""
    term = rng.choice(TERMS, M)
    low, high = shifts
    k = np.where(rng.random(M) < 0.5, rng.integers(low, high + 1, M), rng.integers(3, 13, M))
    return np.abs(term), np.sign(term), k.clip(low, high)
