"""The weights of estimators as arrays: what the deployed network computes with, and behind it."""

import numpy as np
import pytest
import reference
from sklearn.datasets import load_diabetes, load_iris

from pybinnet import BinaryConnectClassifier, BinaryConnectRegressor, load_model, save_model

X, y = load_iris(return_X_y=True)


def fitted(**parameters):
    parameters = {"hidden_layer_sizes": (16, 8), "max_iter": 3, "random_state": 0} | parameters
    return BinaryConnectClassifier(**parameters).fit(X, y)


@pytest.mark.parametrize("solver", ["sgd", "adamax"])
@pytest.mark.parametrize("weights", ["binary", "ternary"])
@pytest.mark.parametrize("activation", ["relu", "sign"])
def test_coefs_are_the_references(weights, activation, solver):
    clf = fitted(weights=weights, activation=activation, solver=solver)
    _, layers = reference.read_model(clf.model_)
    assert [c.shape for c in clf.coefs_] == [(clf.encoder_.n_features_out_, 16), (16, 8), (8, 3)]
    for coefs, latent, layer in zip(clf.coefs_, clf.latent_coefs_, layers, strict=True):
        assert coefs.dtype == np.int8
        np.testing.assert_array_equal(coefs, layer.w.T)
        assert latent.dtype == np.float32
        assert latent.shape == coefs.shape
        assert np.abs(latent).max() <= 1
        signs = np.where(latent >= 0, 1, -1)
        np.testing.assert_array_equal(
            coefs, signs * (abs(latent) * 32768 > 10922) if weights == "ternary" else signs
        )


def test_regressor_has_a_unit_for_each_ramp():
    data, target = load_diabetes(return_X_y=True)
    reg = BinaryConnectRegressor((8,), max_iter=1, random_state=0).fit(data, target)
    assert reg.coefs_[-1].shape == (8, reg.target_edges_[0].size - 1)
    assert reg.latent_coefs_[-1].shape == reg.coefs_[-1].shape


def test_a_callbacks_checkpoint_has_latent_coefs():
    states = []
    clf = fitted(callbacks=[lambda info: states.append(info.checkpoint())])
    last = clf.latent_coefs_
    clf.checkpoint_ = states[0]
    assert all((a != b).any() for a, b in zip(clf.latent_coefs_, last, strict=True))
    clf.checkpoint_ = states[-1]
    for a, b in zip(clf.latent_coefs_, last, strict=True):
        np.testing.assert_array_equal(a, b)


def test_loaded_estimators_have_deployed_coefs_only(tmp_path):
    clf = fitted()
    save_model(clf, tmp_path / "iris.binnet")
    again = load_model(tmp_path / "iris.binnet")
    for a, b in zip(again.coefs_, clf.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(AttributeError, match="loaded from a model file"):
        _ = again.latent_coefs_


def test_what_is_not_fitted_has_none():
    clf = BinaryConnectClassifier()
    assert not hasattr(clf, "coefs_")
    assert not hasattr(clf, "latent_coefs_")


def test_refuses_what_is_no_checkpoint():
    clf = fitted()
    for damaged in (clf.checkpoint_[:200], clf.checkpoint_[: len(clf.checkpoint_) // 2]):
        clf.checkpoint_ = damaged
        with pytest.raises(ValueError, match="ends before its last layer"):
            _ = clf.latent_coefs_
    clf.checkpoint_ = clf.model_
    with pytest.raises(ValueError, match="begins otherwise"):
        _ = clf.latent_coefs_
