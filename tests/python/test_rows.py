"""Which rows a fit takes, how often, and in which order."""

import numpy as np
import pytest
from golden_data import images, labels, numbers
from sklearn.metrics import r2_score, recall_score

from pybinnet import BinaryConnectClassifier, BinaryConnectRegressor
from pybinnet._regressor import _r2

X = images(300, 6)
Y = labels(X)
KINDS = {
    "classes": (BinaryConnectClassifier, Y),
    "numbers": (BinaryConnectRegressor, numbers(X)),
    "labels": (BinaryConnectClassifier, X[:, :3] > 127),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def fitted(estimator_type, X, y, sample_weight=None, **parameters):
    given = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 5, **parameters}
    return estimator_type(**given).fit(X, y, sample_weight=sample_weight)


def files(estimator):
    return estimator.checkpoint_, estimator.model_


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_order_counts_only_without_shuffling(kind, dtype):
    estimator_type, y = kind
    table, order = X.astype(dtype), np.random.RandomState(0).permutation(len(X))
    for early_stopping in (False, True):
        options = {"early_stopping": early_stopping}
        given = files(fitted(estimator_type, table, y, **options))
        assert files(fitted(estimator_type, table[order], y[order], **options)) == given
    given = files(fitted(estimator_type, table, y, shuffle=False))
    assert files(fitted(estimator_type, table[order], y[order], shuffle=False)) != given


def test_weights_go_with_their_rows(kind):
    """Fractional ones too, whose draws depend on nothing but the rows and the seed."""
    estimator_type, y = kind
    weights, order = 0.1 + np.arange(300) % 7, np.random.RandomState(0).permutation(300)
    given = files(fitted(estimator_type, X, y, weights))
    assert files(fitted(estimator_type, X, y, weights)) == given
    assert files(fitted(estimator_type, X[order], y[order], weights[order])) == given
    assert files(fitted(estimator_type, X, y, weights / 8)) == given  # only proportions count
    assert files(fitted(estimator_type, X, y, weights[order])) != given


@pytest.mark.parametrize("early_stopping", [False, True])
def test_weights_of_equal_rows(kind, early_stopping):
    """The order of two rows that differ in nothing but their weights is no matter."""
    estimator_type, y = kind
    twice, order = np.repeat(np.arange(300), 2), np.random.RandomState(0).permutation(600)
    weights = 0.1 + np.arange(600) % 7
    options = {"early_stopping": early_stopping, "validation_fraction": 0.3}
    one = fitted(estimator_type, X[twice], y[twice], weights, **options)
    table, y, weights = X[twice][order], y[twice][order], weights[order]
    other = fitted(estimator_type, table, y, weights, **options)
    assert files(other) == files(one)
    assert other.validation_scores_ == one.validation_scores_
    assert other.validation_loss_curve_ == one.validation_loss_curve_


@pytest.mark.parametrize("weights", [None, 0.1 + np.arange(90) % 7])
@pytest.mark.parametrize("scale", [1.0, 2.0**1000, 2.0**-1000])
def test_validation_scores_are_those_of_scikit_learn(weights, scale):
    """But for the last bits; and sums of squares neither overflow nor vanish."""
    random = np.random.RandomState(0)
    y = random.normal(size=(90, 2))
    predicted = y + random.normal(size=(90, 2))
    expected = r2_score(y, predicted, sample_weight=weights)
    of_columns = [
        _r2(*pair, weights) for pair in zip(scale * y.T, scale * predicted.T, strict=True)
    ]
    assert np.mean(of_columns) == pytest.approx(expected, rel=1e-12)
    assert _r2(np.ones(3), np.ones(3), None) == 1 and _r2(np.ones(3), np.zeros(3), None) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    "options",
    [{}, {"shuffle": False}, {"early_stopping": True, "validation_fraction": 0.3}],
    ids=str,
)
def test_whole_weights_are_repeats(kind, dtype, options):
    estimator_type, y = kind
    table, weights = X.astype(dtype), np.arange(300) % 4
    copies = np.repeat(np.arange(300), weights)
    given = files(fitted(estimator_type, table, y, weights, **options))
    assert files(fitted(estimator_type, table[copies], y[copies], **options)) == given


def test_a_weight_of_zero_removes_a_row(kind):
    estimator_type, y = kind
    for weights in (np.arange(300) % 2, np.arange(300) % 3 * 0.3):
        kept = weights > 0
        of_all = files(fitted(estimator_type, X, y, weights))
        assert files(fitted(estimator_type, X[kept], y[kept], weights[kept])) == of_all


def test_equal_weights_are_none(kind):
    estimator_type, y = kind
    given = files(fitted(estimator_type, X, y))
    assert files(fitted(estimator_type, X, y, np.ones(300))) == given
    assert files(fitted(estimator_type, X, y, 1.0)) == given


def test_weights_of_every_size_are_weights(kind):
    """Sums of them must neither overflow nor vanish."""
    estimator_type, y = kind
    weights = np.where(np.arange(300) % 3, 1.0, 0.5)
    given = files(fitted(estimator_type, X, y, weights))
    for scale in (2.0**1000, 2.0**-1000):
        with np.errstate(all="raise"):
            assert files(fitted(estimator_type, X, y, weights * scale)) == given


def test_class_weight_multiplies_sample_weight():
    weights = np.arange(300) % 3 + 1
    of_classes = {0: 2, 1: 1, 2: 3}
    by_hand = weights * np.array([2, 1, 3])[Y]
    given = files(fitted(BinaryConnectClassifier, X, Y, weights, class_weight=of_classes))
    assert files(fitted(BinaryConnectClassifier, X, Y, by_hand)) == given


def test_balanced_classes_help_the_rare_one():
    generator = np.random.RandomState(0)
    y = (generator.rand(6000) < 0.05).astype(int)
    table = generator.normal(size=(6000, 4)) + 0.8 * y[:, np.newaxis]
    recalls = [
        recall_score(
            y[3000:],
            fitted(
                BinaryConnectClassifier, table[:3000], y[:3000], class_weight=weight, max_iter=10
            ).predict(table[3000:]),
        )
        for weight in (None, "balanced")
    ]
    assert recalls[0] < 0.4 < 0.6 < recalls[1]


def test_weights_count_in_validation():
    """Rows without weight must not choose the best network."""
    table, third = images(1500, 3), np.arange(1500) % 3 == 0
    wrong = (labels(table) + third) % 3
    scores = [
        max(
            fitted(
                BinaryConnectClassifier, table, wrong, w, early_stopping=True, max_iter=30
            ).validation_scores_
        )
        for w in (np.where(third, 1e-3, 1.0), None)
    ]
    assert scores[0] > scores[1] + 0.1


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.float32, np.float64, object])
def test_the_same_numbers_of_any_type_are_the_same_rows(kind, dtype):
    estimator_type, y = kind
    given = files(fitted(estimator_type, X.astype(np.int32), y))
    assert files(fitted(estimator_type, X.astype(dtype), y)) == given
    assert files(fitted(estimator_type, np.asfortranarray(X.astype(dtype)), y)) == given
    assert files(fitted(estimator_type, X.astype(dtype).tolist(), y.tolist())) == given


def test_booleans_are_0_and_1(kind):
    estimator_type, y = kind
    given = files(fitted(estimator_type, X > 99, y))
    assert files(fitted(estimator_type, (X > 99).astype(float), y)) == given


def test_bytes_enter_as_they_are(kind):
    estimator_type, y = kind
    estimator = fitted(estimator_type, X, y)
    assert estimator.encoder_.identity_
    assert files(fitted(estimator_type, X.astype(float), y)) != files(estimator)
    assert np.array_equal(estimator.predict(X), estimator.predict(X.astype(float)))


def test_predictions_are_of_rows_alone(kind):
    estimator_type, y = kind
    estimator = fitted(estimator_type, X / 7, y)
    whole = estimator.predict(X / 7)
    assert np.array_equal(estimator.predict(X[::-1] / 7)[::-1], whole)
    one_by_one = [estimator.predict(row[np.newaxis] / 7)[0] for row in X[:20]]
    assert np.array_equal(one_by_one, whole[:20])


def test_copies_of_rows_are_not_validated_on():
    """Else learning by heart would score well: these classes have no pattern."""
    table, y = np.repeat(images(60, 20), 10, axis=0), np.repeat(np.arange(60) % 2, 10)
    estimator = fitted(
        BinaryConnectClassifier,
        table,
        y,
        early_stopping=True,
        validation_fraction=0.3,
        max_iter=20,
        n_iter_no_change=20,
    )
    assert max(estimator.validation_scores_) < 0.8


def test_numbers_are_validated_on_two_rows_at_least():
    """R² is not defined for one."""
    table = X[:12]
    estimator = fitted(BinaryConnectRegressor, table, numbers(table), early_stopping=True)
    assert np.isfinite(estimator.validation_scores_).all()
