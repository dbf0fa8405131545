"""partial_fit: what a stream learns, and what is kept of it."""

import pickle

import numpy as np
import pytest
from golden_data import images, labels, numbers

from pybinnet import BinaryConnectClassifier, BinaryConnectRegressor, load_model, save_model

X = images(3000, 6) / 2  # as floats: a net of bits learns little of six bytes
Y = labels(2 * X)
NUMBERS = numbers(2 * X)


def stream(estimator, X, y, size=500, **first):
    """Give rows in parts."""
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        estimator.partial_fit(X[part], y[part], **first)
    return estimator


def classifier(**parameters):
    given = {"hidden_layer_sizes": (32,), "random_state": 0, **parameters}
    return BinaryConnectClassifier(**given)


def regressor(**parameters):
    return BinaryConnectRegressor(**{"hidden_layer_sizes": (32,), "random_state": 0, **parameters})


def test_it_learns():
    estimator = classifier()
    for _ in range(5):
        stream(estimator, X[:2500], Y[:2500], classes=[0, 1, 2])
    assert estimator.score(X[2500:], Y[2500:]) > 0.9
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 25
    assert estimator.loss_curve_[-1] == estimator.loss_ < estimator.loss_curve_[0] / 2
    assert estimator.validation_scores_ is None


def test_it_learns_numbers():
    estimator = regressor()
    for _ in range(5):
        stream(estimator, X[:2500], NUMBERS[:2500])
    assert estimator.score(X[2500:], NUMBERS[2500:]) > 0.9


def test_it_learns_labels_that_do_not_exclude_each_other():
    y, estimator = X[:, :4] > 64, classifier()
    for _ in range(5):
        stream(estimator, X[:2500], y[:2500])
    assert (estimator.predict(X[2500:]) == y[2500:]).mean() > 0.95


def test_the_same_stream_gives_the_same_bytes():
    once, again = (stream(classifier(), X, Y, classes=[0, 1, 2]) for _ in range(2))
    assert once.checkpoint_ == again.checkpoint_
    assert once.model_ == again.model_
    backwards = classifier()
    for start in range(0, 3000, 500):  # within a call the order does not count
        part = slice(start, start + 500)
        backwards.partial_fit(X[part][::-1], Y[part][::-1], classes=[0, 1, 2])
    assert backwards.checkpoint_ == once.checkpoint_


def test_looking_at_the_model_changes_nothing():
    looked, once = classifier(), stream(classifier(), X, Y, classes=[0, 1, 2])
    for start in range(0, 3000, 500):
        part = slice(start, start + 500)
        looked.partial_fit(X[part], Y[part], classes=[0, 1, 2]).predict(X[:9])
    assert looked.checkpoint_ == once.checkpoint_
    assert looked.model_ == once.model_


@pytest.mark.parametrize("early_stopping", [False, True])
def test_pickle_between_calls(early_stopping):
    whole = stream(classifier(early_stopping=early_stopping), X, Y, classes=[0, 1, 2])
    thawed = classifier(early_stopping=early_stopping)
    for start in range(0, 3000, 500):
        part = slice(start, start + 500)
        thawed = pickle.loads(pickle.dumps(thawed))
        thawed.partial_fit(X[part], Y[part], classes=[0, 1, 2])
    assert thawed.checkpoint_ == whole.checkpoint_
    assert thawed.model_ == whole.model_
    assert thawed.validation_scores_ == whole.validation_scores_


def test_one_row_a_call():
    estimator = classifier().partial_fit(X[:500], Y[:500], classes=[0, 1, 2])
    before = estimator.checkpoint_
    stream(estimator, X[500:520], Y[500:520], size=1)
    assert estimator.n_iter_ == 21
    assert estimator.checkpoint_ != before
    assert np.isfinite(estimator.loss_curve_).all()


def test_a_class_may_come_late():
    early = Y < 2
    estimator = classifier()
    for _ in range(3):
        stream(estimator, X[early][:500], Y[early][:500], size=250, classes=[0, 1, 2])
    assert estimator.predict_proba(X[:5]).shape == (5, 3)
    for _ in range(8):
        stream(estimator, X, Y)
    assert (estimator.predict(X[Y == 2]) == 2).mean() > 0.8


def test_after_fit():
    estimator = classifier(max_iter=5).fit(X[:1000], Y[:1000])
    before, curve = estimator.checkpoint_, list(estimator.loss_curve_)
    estimator.partial_fit(X[1000:], Y[1000:])
    assert estimator.n_iter_ == 6
    assert estimator.loss_curve_[:-1] == curve
    assert estimator.checkpoint_ != before
    assert estimator.score(X, Y) > 0.8


def test_fit_begins_anew():
    fresh = classifier(max_iter=2).fit(X, Y)
    after = stream(classifier(max_iter=2), X[:, :3], Y + 1, classes=[1, 2, 3]).fit(X, Y)
    assert after.checkpoint_ == fresh.checkpoint_
    assert after.predict(X).tolist() == fresh.predict(X).tolist()


def test_weights_are_repeats():
    weights = np.arange(3000) % 3
    copies = np.repeat(np.arange(3000), weights)
    once = classifier().partial_fit(X, Y, [0, 1, 2], sample_weight=weights)
    again = classifier().partial_fit(X[copies], Y[copies], [0, 1, 2])
    assert once.checkpoint_ == again.checkpoint_
    of_classes = classifier(class_weight={0: 2, 1: 1, 2: 3}).partial_fit(X, Y, [0, 1, 2])
    by_hand = classifier().partial_fit(X, Y, [0, 1, 2], sample_weight=np.array([2, 1, 3])[Y])
    assert of_classes.checkpoint_ == by_hand.checkpoint_


def test_weights_of_classes_that_a_call_misses():
    """A call may lack classes, of those with a weight and of those without."""
    calls = [np.flatnonzero(Y < 3), np.flatnonzero(Y != 1), np.flatnonzero(Y == 1)]
    of_classes, by_hand = classifier(class_weight={0: 2, 1: 3}), classifier()
    for rows in calls:
        of_classes.partial_fit(X[rows], Y[rows], [0, 1, 2])
        weights = np.array([2, 3, 1])[Y[rows]]
        by_hand.partial_fit(X[rows], Y[rows], [0, 1, 2], sample_weight=weights)
    assert of_classes.checkpoint_ == by_hand.checkpoint_


# Early stopping


def test_early_stopping_keeps_the_best_and_then_does_nothing():
    noise = np.random.RandomState(0).permutation(Y)  # nothing to learn but by heart
    estimator = classifier(early_stopping=True, n_iter_no_change=3, hidden_layer_sizes=(128,))
    models = []
    for _ in range(100):
        before = pickle.dumps(estimator)
        estimator.partial_fit(X[:500], noise[:500], classes=[0, 1, 2])
        models.append(estimator.model_)
        if pickle.dumps(estimator) == before:
            break
    calls = estimator.n_iter_
    assert 3 < calls < 100
    assert estimator.model_ == models[-4] == models[-2]
    assert len(estimator.validation_scores_) == len(estimator.validation_loss_curve_) == calls
    checkpoint = estimator.checkpoint_
    stream(estimator, X, Y)  # whatever comes
    assert (estimator.n_iter_, estimator.checkpoint_) == (calls, checkpoint)
    estimator.set_params(early_stopping=False).partial_fit(X, Y)
    assert estimator.n_iter_ == calls + 1


@pytest.mark.parametrize("estimator", [classifier(), regressor()], ids=["classes", "numbers"])
def test_rows_set_aside_are_never_trained_on(estimator):
    """Whatever they are labelled, and in whatever company they come, the weights are the same."""
    y = Y if isinstance(estimator, BinaryConnectClassifier) else NUMBERS
    first = {"classes": [0, 1, 2]} if y is Y else {}
    estimator.set_params(early_stopping=True, validation_fraction=0.3, n_iter_no_change=99)
    one_by_one = pickle.loads(pickle.dumps(estimator)).partial_fit(X[:2000], y[:2000], **first)
    held = []
    for i in range(2000, 2100):
        before = one_by_one.checkpoint_
        one_by_one.partial_fit(X[i : i + 1], y[i : i + 1])
        held.append(one_by_one.checkpoint_ == before)
    assert 15 < sum(held) < 50
    of_all = pickle.loads(pickle.dumps(estimator)).partial_fit(X[:2000], y[:2000], **first)
    of_kept = pickle.loads(pickle.dumps(of_all))
    rows = np.arange(2000, 2100)
    of_all.partial_fit(X[rows], y[rows])
    of_kept.partial_fit(X[rows[~np.array(held)]], y[rows[~np.array(held)]])
    assert of_all.checkpoint_ == of_kept.checkpoint_


@pytest.mark.parametrize("make", [classifier, regressor])
def test_before_any_row_is_set_aside_there_is_a_model(make, tmp_path):
    estimator = make(early_stopping=True, validation_fraction=1e-6)
    y, first = (Y, {"classes": [0, 1, 2]}) if make is classifier else (NUMBERS, {})
    estimator.partial_fit(X[:50], y[:50], **first)
    assert estimator.validation_scores_ == [None]
    assert estimator.predict(X[:3]).shape == (3,)
    save_model(estimator, tmp_path / "model")
    assert np.array_equal(load_model(tmp_path / "model").predict(X), estimator.predict(X))


# What is kept


def test_what_is_kept_is_bounded():
    table = images(20_000, 5)
    estimator = classifier(hidden_layer_sizes=(4,), early_stopping=True, n_iter_no_change=99)
    estimator.set_params(validation_fraction=0.6)
    stream(estimator, table, labels(table), size=2000, classes=[0, 1, 2])
    assert 7500 < len(estimator._stream.recent) < 8192
    sizes = []
    for _ in range(3):
        stream(estimator, table, labels(table), size=5000)
        sizes.append(len(pickle.dumps(estimator)))
    assert estimator._stream.recent.shape == (8192, 5)
    assert len(estimator._stream.held_out.y) == 8192
    assert sizes[2] - sizes[1] < 1000


@pytest.mark.parametrize(
    "changed", [{"hidden_layer_sizes": (16,)}, {"weights": "ternary"}, {"batch_size": 8}]
)
@pytest.mark.parametrize("begin", ["fit", "partial_fit"])
def test_a_stream_goes_on_with_its_net_only(changed, begin):
    (name,) = changed
    estimator = classifier(max_iter=1)
    getattr(estimator, begin)(X, Y, **({"classes": [0, 1, 2]} if begin == "partial_fit" else {}))
    estimator.set_params(**changed)
    before = dict(vars(estimator))
    message = f"partial_fit needs the {name} of the previous fit, .*, got .*; clone the estimator"
    with pytest.raises(ValueError, match=message):
        estimator.partial_fit(X, Y)
    assert vars(estimator) == before
    estimator.set_params(**{**classifier().get_params(), "learning_rate_final": 2.0**-9})
    assert estimator.partial_fit(X, Y).n_iter_ == 2


def test_callbacks_are_told_of_calls():
    seen = []
    estimator = classifier(callbacks=[seen.append], early_stopping=True)
    stream(estimator, X, Y, classes=[0, 1, 2])
    assert [info.epoch for info in seen] == [1, 2, 3, 4, 5, 6]
    assert {info.n_epochs for info in seen} == {None}
    assert [info.validation_score for info in seen] == estimator.validation_scores_
    assert [info.loss for info in seen] == estimator.loss_curve_
    assert seen[-1].checkpoint() == estimator.checkpoint_


def test_a_callback_that_fails_undoes_the_call():
    def fail(info):
        raise RuntimeError("no")

    estimator = classifier().partial_fit(X, Y, classes=[0, 1, 2])
    before = dict(vars(estimator), callbacks=[fail])
    with pytest.raises(RuntimeError, match="no"):
        estimator.set_params(callbacks=[fail]).partial_fit(X, Y)
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is before[name] for name in before if name != "callbacks")


@pytest.mark.parametrize("first", [np.uint8, np.float64])
def test_rows_set_aside_are_the_same_of_any_type(first):
    """Else a row that comes as a byte here and as a float there would be trained on."""
    table = images(1000, 6)
    estimator = classifier(early_stopping=True, validation_fraction=0.3, n_iter_no_change=99)
    estimator.partial_fit(table[:800].astype(first), labels(table[:800]), [0, 1, 2])
    trained = []
    for dtype in (np.uint8, np.int64, np.float32):
        copy = pickle.loads(pickle.dumps(estimator))
        trained.append([])
        for row in table[800:860]:
            before = copy.checkpoint_
            copy.partial_fit(row[np.newaxis].astype(dtype), labels(row[np.newaxis]))
            trained[-1].append(copy.checkpoint_ != before)
    assert trained[0] == trained[1] == trained[2]
    assert 20 < sum(trained[0]) < 60
