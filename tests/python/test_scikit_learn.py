"""The estimators among scikit-learn's tools."""

import sys

import numpy as np
import pytest
import sklearn
from golden_data import images, labels, numbers
from joblib import dump, load
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import make_friedman1, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier, VotingRegressor
from sklearn.inspection import permutation_importance
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import ClassifierChain
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pybinnet import BinaryConnectClassifier, BinaryConnectRegressor, PiecewiseLinearEncoder

X = images(200, 4) / 2
Y = labels(images(200, 4))
NUMBERS = numbers(images(200, 4))


def classifier(**parameters):
    given = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, **parameters}
    return BinaryConnectClassifier(**given)


def regressor(**parameters):
    given = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, **parameters}
    return BinaryConnectRegressor(**given)


@parametrize_with_checks(
    [
        BinaryConnectClassifier(hidden_layer_sizes=(64,)),
        BinaryConnectClassifier((64,), weights="ternary", activation="sign", solver="adamax"),
        BinaryConnectRegressor(hidden_layer_sizes=(64,)),
        BinaryConnectRegressor((64,), weights="ternary", early_stopping=True),
    ]
)
def test_conventions(estimator, check):
    check(estimator)


def test_kinds():
    assert is_classifier(classifier()) and not is_regressor(classifier())
    assert is_regressor(regressor()) and not is_classifier(regressor())


# Data of other makers


def frame(library, columns="abcd"):
    maker = pytest.importorskip(library)
    return maker.DataFrame(dict(zip(columns, X.T, strict=True)))


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("estimator", [classifier(), regressor()], ids=["classes", "numbers"])
def test_frames(library, estimator):
    y = Y if is_classifier(estimator) else NUMBERS
    table, series = frame(library), sys.modules[library].Series(y)
    of_frame = clone(estimator).fit(table, series)
    of_array = clone(estimator).fit(X, y)
    assert of_frame.feature_names_in_.tolist() == list("abcd")
    assert of_frame.checkpoint_ == of_array.checkpoint_
    assert np.array_equal(of_frame.predict(table), of_array.predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        of_frame.predict(frame(library, "abcz"))
    streamed = clone(estimator)
    classes = {"classes": [0, 1, 2]} if y is Y else {}
    streamed.partial_fit(table, series, **classes).partial_fit(table, series)
    assert streamed.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names should match"):
        streamed.partial_fit(frame(library, "dcba"), series)


def test_frames_of_several_types():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1] > 64, "c": X[:, 2].astype(int)})
    plain = np.stack([X[:, 0], X[:, 1] > 64, X[:, 2].astype(int)], axis=1)
    expected = classifier().fit(plain, Y).checkpoint_
    assert classifier().fit(table, Y).checkpoint_ == expected
    nullable = table.convert_dtypes()
    assert classifier().fit(nullable, Y).checkpoint_ == expected
    nullable.loc[3, "c"] = pd.NA
    with pytest.raises(ValueError, match="NaN"):
        classifier().fit(nullable, Y)
    names = pd.Series(np.array(["x", "y", "z"])[Y], dtype="category")
    assert classifier().fit(table, names).classes_.tolist() == ["x", "y", "z"]


@pytest.mark.parametrize("make", [classifier, regressor])
def test_read_only_memmaps(make, tmp_path):
    """As joblib gives them to its processes."""
    y = Y if make is classifier else NUMBERS
    for name, table in (("floats", X), ("bytes", images(200, 4))):
        dump([table, y, np.ones(200)], tmp_path / name)
        mapped = load(tmp_path / name, mmap_mode="r")
        assert not mapped[0].flags.writeable
        estimator = make().fit(*mapped)
        assert estimator.checkpoint_ == make().fit(table, y).checkpoint_
        assert np.array_equal(estimator.predict(mapped[0]), estimator.predict(table))
        estimator.partial_fit(*mapped[:2])


def test_data_are_left_alone():
    for table in (X.copy(), images(200, 4)):
        before, y, weights = table.copy(), Y.copy(), np.arange(200.0)
        classifier(early_stopping=True).fit(table, y, weights).predict(table)
        assert np.array_equal(table, before) and np.array_equal(y, Y)
        assert np.array_equal(weights, np.arange(200.0))


# Tools


def test_metadata_routing():
    weights = np.where(Y == 0, 5.0, 0.5)
    with sklearn.config_context(enable_metadata_routing=True):
        for make, y in ((classifier, Y), (regressor, NUMBERS)):
            estimator = make().set_fit_request(sample_weight=True)
            estimator.set_score_request(sample_weight=True)
            pipeline = make_pipeline(
                StandardScaler().set_fit_request(sample_weight=False), estimator
            )
            pipeline.fit(X, y, sample_weight=weights)
            scaled = StandardScaler().fit_transform(X)
            expected = make().fit(scaled, y, weights)
            assert pipeline[-1].checkpoint_ == expected.checkpoint_
            search = GridSearchCV(estimator, {"max_iter": [1, 3]}, cv=2)
            search.fit(scaled, y, sample_weight=weights)
            best = make(**search.best_params_).fit(scaled, y, weights)
            assert search.best_estimator_.checkpoint_ == best.checkpoint_
            unasked = make_pipeline(StandardScaler(), make())
            with pytest.raises(Exception, match="sample_weight"):
                unasked.fit(X, y, sample_weight=weights)


def test_partial_fit_takes_classes_by_request():
    request = classifier().get_metadata_routing().partial_fit.requests
    assert set(request) == {"classes", "sample_weight"}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_of_the_encoder(library):
    table = frame(library)
    encoder = PiecewiseLinearEncoder(2).set_output(transform=library)
    out = encoder.fit_transform(table)
    assert type(out) is type(table)
    assert list(out.columns) == [f"{name}_ramp{t}" for name in "abcd" for t in (0, 1)]
    assert np.array_equal(out.to_numpy(), PiecewiseLinearEncoder(2).fit_transform(X))


def test_encoder_of_some_columns():
    encode = make_column_transformer((PiecewiseLinearEncoder(), [0, 1]), remainder="drop")
    pipeline = make_pipeline(encode, classifier(max_iter=30)).fit(X, Y)
    assert pipeline[-1].encoder_.identity_  # bytes go on as they are
    assert pipeline.score(X, Y) > 0.8


def test_html():
    for estimator in (classifier(), regressor().fit(X, NUMBERS), PiecewiseLinearEncoder()):
        html = estimator._repr_html_()
        assert type(estimator).__name__ in html


def test_search_in_processes():
    search = GridSearchCV(regressor(), {"hidden_layer_sizes": [(8,), (32,)]}, cv=2, n_jobs=2)
    alone = clone(search).set_params(n_jobs=1).fit(X, NUMBERS)
    assert search.fit(X, NUMBERS).best_estimator_.model_ == alone.best_estimator_.model_


def test_ensembles_and_wrappers():
    assert BaggingClassifier(classifier(), 3, random_state=0).fit(X, Y).score(X, Y) > 0.5
    assert VotingRegressor([("a", regressor()), ("b", regressor(random_state=1))]).fit(
        X, NUMBERS
    ).predict(X).shape == (200,)
    chain = ClassifierChain(classifier()).fit(X, X[:, :2] > 64)
    assert chain.predict(X).shape == (200, 2)
    logarithms = TransformedTargetRegressor(regressor(), func=np.log1p, inverse_func=np.expm1)
    assert np.isfinite(logarithms.fit(X, NUMBERS).predict(X)).all()
    importances = permutation_importance(
        classifier(max_iter=30).fit(X, Y), X, Y, random_state=0
    ).importances_mean
    assert set(np.argsort(importances)[-2:]) == {0, 1}


# Labels that do not exclude each other


def test_several_labels_agree():
    y = X[:, :3] > 64
    estimator = classifier(max_iter=20).fit(X, y)
    assert estimator.classes_.tolist() == [0, 1, 2]
    margins, probabilities = estimator.decision_function(X), estimator.predict_proba(X)
    decided = estimator.predict(X)
    assert margins.shape == probabilities.shape == decided.shape == (200, 3)
    assert np.array_equal(decided, margins > 0)
    assert np.array_equal(decided, probabilities > 0.5)
    assert np.allclose(estimator.predict_log_proba(X), np.log(probabilities))
    assert estimator.score(X, y) == (decided == y).all(axis=1).mean()
    two = classifier().fit(X, y[:, :2])  # not the margin of two classes
    assert two.decision_function(X).shape == two.predict(X).shape == (200, 2)


def test_several_labels_in_any_form():
    import scipy.sparse

    y = X[:, :3] > 64
    expected = classifier().fit(X, y).checkpoint_
    for same in (y.astype(int), y.astype(float), y.tolist(), scipy.sparse.csr_matrix(y * 1)):
        assert classifier().fit(X, same).checkpoint_ == expected


def test_several_labels_are_learned_as_well_as_by_a_float_network():
    table, y = make_multilabel_classification(
        1500, n_features=20, n_classes=5, n_labels=2, random_state=0
    )
    table, y, table_test, y_test = table[:1000], y[:1000], table[1000:], y[1000:]
    bits = BinaryConnectClassifier((64,), max_iter=40, random_state=0).fit(table, y)
    floats = MLPClassifier((64,), max_iter=100, early_stopping=True, random_state=0).fit(table, y)
    ours, theirs = (
        f1_score(y_test, net.predict(table_test), average="micro") for net in (bits, floats)
    )
    assert ours > theirs - 0.03


# Numbers


@pytest.fixture(scope="module")
def friedman():
    return make_friedman1(1500, noise=1.0, random_state=0)


def test_numbers_are_learned(friedman):
    assert cross_val_score(BinaryConnectRegressor(random_state=0), *friedman, cv=3).mean() > 0.85


def test_predictions_are_within_the_targets(friedman):
    table, y = friedman
    estimator = regressor(max_iter=20).fit(table[:1000], y[:1000])
    found = estimator.predict(10 * table - 5)
    assert y[:1000].min() <= found.min() < found.max() <= y[:1000].max()
    edges = estimator.target_edges_[0]
    assert len(edges) == 17 and (np.diff(edges) > 0).all()
    assert (edges[0], edges[-1]) == (y[:1000].min(), y[:1000].max())


def test_scale_and_shift_of_targets_do_not_matter(friedman):
    table, y = friedman
    y = np.round(y * 64) / 64  # so that all that follows is exact
    plain = regressor(shuffle=False).fit(table, y)  # else their contents say the order
    other = regressor(shuffle=False).fit(table, 1024 * y - 4096)
    assert other.checkpoint_ == plain.checkpoint_
    assert np.allclose(other.predict(table), 1024 * plain.predict(table) - 4096, rtol=1e-9)


def test_several_columns_of_numbers(friedman):
    table, y = friedman
    both = np.stack([y, -(y**2), np.full_like(y, 3.0)], axis=1)
    estimator = regressor(hidden_layer_sizes=(64,), max_iter=40).fit(table[:1000], both[:1000])
    found = estimator.predict(table[1000:])
    assert found.shape == (500, 3)
    assert (found[:, 2] == 3.0).all()
    assert estimator.score(table[1000:], both[1000:]) > 0.8
    assert [len(edges) for edges in estimator.target_edges_] == [17, 17, 1]


def test_targets_of_few_values():
    y = (Y == 1) * 2.5
    estimator = regressor(max_iter=30).fit(X, y)
    assert [edges.tolist() for edges in estimator.target_edges_] == [[0.0, 2.5]]
    assert ((estimator.predict(X) > 1.25) == (y > 1.25)).mean() > 0.8
    constant = regressor().fit(X, np.full(200, -7.25))
    assert (constant.predict(X) == -7.25).all()


def test_shape_of_predictions_is_that_of_fit():
    assert regressor().fit(X, NUMBERS).predict(X).shape == (200,)
    assert regressor().fit(X, NUMBERS[:, None]).predict(X).shape == (200, 1)
