"""save_model, load_model: what comes back, and files from strangers."""

import json
import pickle
import struct
import sys
import time
import tracemalloc

import numpy as np
import pytest
from golden_data import images, labels, numbers
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from pybinnet import (
    BinaryConnectClassifier,
    BinaryConnectRegressor,
    _engine,
    _saved,
    count_operations,
    evaluate_latent,
    export_c,
    load_model,
    save_model,
)
from pybinnet import _appendix as appendix

X = images(120, 6)
Y = labels(X)
NUMBERS = numbers(X)


def classifier(X=X, y=Y, **parameters):
    given = {"hidden_layer_sizes": (9,), "max_iter": 2, "random_state": 0, **parameters}
    return BinaryConnectClassifier(**given).fit(X, y)


def regressor(X=X, y=NUMBERS, **parameters):
    given = {"hidden_layer_sizes": (9,), "max_iter": 2, "random_state": 0, **parameters}
    return BinaryConnectRegressor(**given).fit(X, y)


def there_and_back(estimator, folder):
    save_model(estimator, folder / "model")
    return load_model(folder / "model")


def attributes(estimator):
    return {name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")}


# What comes back


@pytest.mark.parametrize(
    "estimator",
    [
        classifier(),
        classifier(X / 3),
        classifier(X > 99),
        classifier(X, np.array(["a", "b", "é"])[Y]),
        classifier(X, np.array(["a", "b", "é"], dtype=object)[Y]),
        classifier(X, Y > 0),
        classifier(X, Y - 5.0),
        classifier(X, np.array([0, 1, 2**64 - 1], dtype=np.uint64)[Y]),
        classifier(X, X[:, :4] > 127),
        classifier(X / 3, X[:, :2] > 127),
        classifier(hidden_layer_sizes=(), weights="ternary"),
        classifier(hidden_layer_sizes=9, activation="sign", weights="ternary"),
        classifier(max_iter=np.int64(2), tol=np.float64(0.5), callbacks=[print]),
        regressor(),
        regressor(X / 3, Y / 7),
        regressor(X, np.stack([Y, NUMBERS, Y * 0], axis=1)),
        regressor(X, Y * 0),
        regressor(X, Y[:, np.newaxis]),
        classifier(X * 0.0),  # no column with information
    ],
    ids=lambda estimator: type(estimator).__name__[13:],
)
def test_it_predicts_as_before(estimator, tmp_path):
    table = X if estimator.encoder_.identity_ else X / 3
    again = there_and_back(estimator, tmp_path)
    assert type(again) is type(estimator)
    assert again.model_ == estimator.model_
    expected = estimator.predict(table)
    found = again.predict(table)
    assert np.array_equal(found, expected)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert again.n_features_in_ == 6
    if isinstance(estimator, BinaryConnectClassifier):
        assert again.classes_.dtype == estimator.classes_.dtype
        assert np.array_equal(again.predict_proba(table), estimator.predict_proba(table))
    parameters = estimator.get_params() | {"callbacks": None}
    sizes = parameters.pop("hidden_layer_sizes")
    found = again.get_params()
    assert found.pop("hidden_layer_sizes") == ((9,) if sizes == 9 else sizes)
    assert found == parameters


def test_what_is_loaded_is_an_estimator(tmp_path):
    again = there_and_back(classifier(), tmp_path)
    assert np.array_equal(pickle.loads(pickle.dumps(again)).predict(X), again.predict(X))
    assert np.array_equal(there_and_back(again, tmp_path).predict(X), again.predict(X))
    assert clone(again).fit(X, Y).checkpoint_ == classifier().checkpoint_
    assert again.fit(X, Y).checkpoint_ == classifier().checkpoint_


def test_what_is_loaded_can_be_exported(tmp_path):
    estimator = classifier()
    save_model(estimator, tmp_path / "net.binnet")
    again = load_model(tmp_path / "net.binnet")
    export_c(estimator, tmp_path / "net.h")
    header = (tmp_path / "net.h").read_text()
    assert "A 6-9-3 network with binary weights and relu activation" in header
    export_c(again, tmp_path / "net.h")
    assert (tmp_path / "net.h").read_text() == header


@pytest.mark.parametrize(
    "use",
    [
        lambda clf: clf.set_params(warm_start=True).fit(X, Y),
        lambda clf: clf.partial_fit(X, Y),
        lambda clf: export_c(clf, "never.h", checkpoint=True),
        lambda clf: count_operations(clf),
        lambda clf: evaluate_latent(clf, X, Y, X),
    ],
)
def test_what_is_loaded_has_no_state_of_training(use, tmp_path):
    again = there_and_back(classifier(), tmp_path)
    assert not attributes(again) & {"checkpoint_", "loss_", "loss_curve_", "n_iter_"}
    before = {**vars(again), "warm_start": None}
    with pytest.raises(ValueError, match=r"has no checkpoint_: it was loaded .* by joblib\.dump"):
        use(again)
    assert {**vars(again), "warm_start": None} == before


@pytest.mark.parametrize(
    "use",
    [
        lambda clf: clf.partial_fit(X, Y),
        lambda clf: export_c(clf, "never.h", checkpoint=True),
        lambda clf: count_operations(clf),
    ],
)
def test_a_checkpoint_does_not_make_it_whole(use, tmp_path):
    again = there_and_back(classifier(), tmp_path)
    again.checkpoint_ = classifier().checkpoint_
    before = dict(vars(again))
    with pytest.raises(ValueError, match=r"was not fitted, though checkpoint_ .* joblib\.dump"):
        use(again)
    assert vars(again) == before


def test_column_names(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X / 3, columns=list("abcdé") + ["f g"])
    again = there_and_back(classifier(frame), tmp_path)
    assert again.feature_names_in_.tolist() == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        again.predict(frame[frame.columns[::-1]])


def test_a_file_of_c_has_no_appendix(tmp_path):
    estimator = classifier()
    (tmp_path / "model").write_bytes(estimator.model_)
    again = load_model(tmp_path / "model")
    assert again.classes_.tolist() == [0, 1, 2]
    assert np.array_equal(again.predict(X), estimator.predict(X))


# Files from strangers


def parts(estimator):
    """A model's bytes, and the values of its appendix."""
    return estimator.model_, json.loads(json.dumps(_saved._values(estimator)))


FILES = {
    "classes": parts(classifier(X / 3)),
    "names": parts(classifier(X, np.array(["a", "b", "c"])[Y])),
    "numbers": parts(regressor(X / 3, np.stack([Y, NUMBERS], axis=1))),
}


def loaded(tmp_path, name, **changed):
    model, values = FILES[name]
    path = tmp_path / "hostile"
    path.write_bytes(appendix.append(model, {**values, **changed}))
    return load_model(path)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("classes", {"estimator": "list"}),
        ("classes", {"estimator": []}),
        ("classes", {"estimator": "BinaryConnectRegressor"}),
        ("numbers", {"estimator": "BinaryConnectClassifier"}),
        ("classes", {"parameters": None}),
        ("classes", {"parameters": {"later": 1}}),
        ("classes", {"n_features_in": 7}),
        ("classes", {"n_features_in": 6.0}),
        ("classes", {"n_features_in": "6"}),
        ("names", {"n_features_in": 2**80}),
        ("names", {"n_features_in": float("nan")}),
        ("classes", {"feature_names_in": ["a"]}),
        ("classes", {"feature_names_in": None}),
        ("classes", {"feature_names_in": [1, 2, 3, 4, 5, 6]}),
        ("classes", {"edges": None}),
        ("classes", {"edges": 5}),
        ("classes", {"edges": {}}),
        ("classes", {"edges": [[0]] * 6}),
        ("classes", {"edges": [["a"]] * 6}),
        ("classes", {"edges": [[float("nan")]] * 6}),
        ("classes", {"edges": [[1, 0]] + [[0, 1]] * 5}),
        ("classes", {"edges": [[-1.7e308, 1.7e308]] * 6}),
        ("classes", {"edges": [[0, 10**400]] * 6}),
        ("classes", {"classes": [0, 1]}),
        ("classes", {"classes": []}),
        ("classes", {"classes": [0, 1, 1]}),
        ("classes", {"classes": [2, 1, 0]}),
        ("classes", {"classes": [0, 1, 2**80]}),
        ("classes", {"classes": [0, 1, float("inf")]}),
        ("classes", {"classes": [0, 1, float("nan")]}),
        ("classes", {"classes": [0, 1, float("nan")], "dtype": "<f8"}),
        ("classes", {"classes": "abc"}),
        ("classes", {"classes": [[0], [1], [2]], "dtype": "O"}),
        ("classes", {"classes": [0, "a", None], "dtype": "O"}),
        ("names", {"classes": ["aa", "ab", "b"], "dtype": "<U1"}),
        ("names", {"dtype": "U1000000000"}),
        ("names", {"dtype": "<M8[s]"}),
        ("names", {"dtype": "V16"}),
        ("names", {"dtype": [["a", "O"]]}),
        ("names", {"dtype": "no type"}),
        ("numbers", {"target_edges": []}),
        ("numbers", {"target_edges": [[0, 1]]}),
        ("numbers", {"target_edges": None}),
        ("numbers", {"one_dimensional": True}),
        ("numbers", {"target_edges": [[-1.7e308, 1.7e308]]}),
    ],
    ids=str,
)
def test_an_appendix_that_does_not_fit(name, changed, tmp_path):
    with np.errstate(all="raise"), pytest.raises(ValueError, match=r"hostile has an appendix that"):
        loaded(tmp_path, name, **changed)


@pytest.mark.parametrize("edges", [[0.0], [0.0, 1.0], [0.0, 1.0, 2.0]])
def test_ramps_that_are_longer_than_their_column(edges, tmp_path):
    """As many ramps as the network takes, but over more intervals than there are edges for."""
    values = FILES["classes"][1]
    span = len(values["edges"][0]) + values["spans"][0] - len(edges)
    changed = {
        "edges": [edges, *values["edges"][1:]],
        "spans": [span, *values["spans"][1:]],
    }
    with pytest.raises(ValueError, match="its spans do not fit"):
        loaded(tmp_path, "classes", **changed)


@pytest.mark.parametrize("name", FILES)
def test_an_appendix_with_something_missing(name, tmp_path):
    model, values = FILES[name]
    for missing in values:
        less = {key: value for key, value in values.items() if key != missing}
        (tmp_path / "hostile").write_bytes(appendix.append(model, less))
        with pytest.raises(ValueError, match="has an appendix that does not fit"):
            load_model(tmp_path / "hostile")


def with_appendix(model, body):
    """A model whose checksum is right, with any bytes behind its layers."""
    return appendix._sealed(model, model[24:-4] + body)


@pytest.mark.parametrize(
    "body",
    [
        b"abcd",
        struct.pack("<I", 2**32 - 1) + b"{}  ",
        struct.pack("<I", 2) + b"[]  ",
        struct.pack("<I", 4) + b"null",
        struct.pack("<I", 4) + b'\xff\xfe""',
        struct.pack("<I", 200_000) + b"[" * 200_000,
        struct.pack("<I", 200_000) + b'{"a":' * 40_000,
        struct.pack("<I", 100_000) + b"1" * 100_000,
        struct.pack("<I", 0),
    ],
    ids=range(9),
)
def test_an_appendix_that_is_no_object_of_json(body, tmp_path):
    (tmp_path / "hostile").write_bytes(with_appendix(FILES["names"][0], body))
    with pytest.raises(ValueError, match=r"hostile cannot be loaded: .* pybinnet did not write"):
        load_model(tmp_path / "hostile")


def hostile(name="names", size=0, **changed):
    """A file with a right length and checksum, whose appendix has other values."""
    model, values = FILES[name]
    return appendix.append(model, {**values, **changed}, bytes(size))


def written_by_hand(text):
    return with_appendix(
        FILES["names"][0], struct.pack("<I", len(text)) + text + b" " * (-len(text) % 4)
    )


TEXT = json.dumps(FILES["names"][1]).encode()
HOSTILE = {
    "twice": written_by_hand(TEXT[:-1] + b', "estimator": "os.system"}'),
    "surrogate": written_by_hand(TEXT.replace(b'"dtype": "str"', b'"dtype": "\\ud800"')),
    "cut text": written_by_hand(TEXT[:-1]),
    "two texts": written_by_hand(TEXT + TEXT),
    "utf-16": written_by_hand(TEXT.decode().encode("utf-16")),
    "latin-1": written_by_hand(TEXT.replace(b'"a"', b'"\xe9"')),
    "comment": written_by_hand(b"#!/bin/sh\n" + TEXT),
    "no model": pickle.dumps(classifier()),
    "pickle": written_by_hand(pickle.dumps(classifier())),
    "longest class": hostile(classes=["a" * 100_000] + [""] * 50_000),
    "most classes": hostile(classes=[""] * 300_000),
    "empty edges": hostile("classes", edges=[[]] * 200_000),
    "most edges": hostile("classes", edges=[list(range(100_000))] * 6),
    "most layers": hostile(parameters={"layers": [{"Dense": {"units": 1}}] * 30_000, "x": 1}),
    "digits": hostile(n_features_in=10**4000),
    "digits of spans": hostile("classes", spans=[10**4000] * 6),
    "digits of edges": hostile("classes", edges=[[0, 10**4000]] * 6),
    "spans below": hostile("classes", spans=[-(2**63)] * 6),
    "spans of truth": hostile("classes", spans=[True] * 6),
    "code": hostile(estimator="__import__('os').abort"),
    "code of layers": hostile(parameters={"layers": [{"__import__": {"name": "os"}}]}),
    "code of methods": hostile(parameters={"fit": "os.abort"}),
    "self": hostile(parameters={"self": 1}),
    "class": hostile(parameters={"__class__": "list"}),
    **{
        f"dtype {dtype}": hostile(dtype=dtype)
        for dtype in [
            "S2147483647",
            "V2147483647",
            "U536870911",
            "(1000000000,)i4",
            "(65536,65536)f8",
            "i4,i4",
            "O,O",
            "m8[s]",
            "M8[99999999999s]",
            "c16",
            "object_",
            "__import__('os').abort()",
            ["O"],
            [["a", "O"]],
            [["a", [["b", "O"]]]],
            {"names": ["a"], "formats": ["O"]},
            {"names": ["a"], "formats": ["i4"], "offsets": [2**40]},
            {"names": ["a"], "formats": ["i4"], "itemsize": 2**31 - 1},
            {"__reduce__": ["os.abort"]},
            -1,
            2**70,
        ]
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def running():
    """What Python says of code that is made or run, from a hook, which cannot be taken away."""
    kinds = ("compile", "exec", "pickle.", "marshal.", "os.", "subprocess.", "socket.", "ctypes.")
    seen = []
    sys.addaudithook(lambda event, _: event.startswith(kinds) and seen.append(event))
    return seen


@pytest.mark.untraced  # what coverage notes is no cost of reading it
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_at_the_cost_of_reading_it(name, running, tmp_path):
    path = tmp_path / "hostile"
    path.write_bytes(HOSTILE[name])
    (tmp_path / "sound").write_bytes(hostile())
    load_model(tmp_path / "sound")  # what Python imports when it is first used
    running.clear()
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"hostile (has an appendix|cannot be loaded)"):
        load_model(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**18 + 100 * len(HOSTILE[name])
    assert running == []


def test_names_of_code_are_but_names(running, tmp_path):
    names = ["__import__('os').abort()", "\ud800", "{0.__class__}"]
    (tmp_path / "net").write_bytes(hostile(classes=sorted(names)))
    running.clear()
    again = load_model(tmp_path / "net")
    assert again.classes_.tolist() == sorted(names)
    assert set(again.predict(X).tolist()) <= set(names)
    assert running == []


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("key", ["classes", "edges", "feature_names_in", "parameters", "dtype"])
@pytest.mark.parametrize("depth", [40, 100, 400])
def test_deep_lists(key, depth, tmp_path):
    with pytest.raises(ValueError, match="has an appendix that"):
        loaded(tmp_path, "classes", **{key: nested(depth)})


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-2, 300),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["<i8", "<f2", "O", "str", "BinaryConnectRegressor", "U4", "S9", "auto"]),
    ),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_any_edit_is_refused_or_works(tmp_path_factory, name, data):
    """A value somewhere in the appendix becomes another: a ValueError, or an estimator."""
    model, values = FILES[name]
    values = json.loads(json.dumps(values))
    place, key = values, data.draw(st.sampled_from(sorted(values)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
    place[key] = data.draw(json_values)
    path = tmp_path_factory.getbasetemp() / "edited"
    path.write_bytes(appendix.append(model, values))
    tracemalloc.start()
    begun = time.process_time()
    try:
        estimator = load_model(path)
        found = estimator.predict(X / 3 if estimator.encoder_.edges_ else X)
        assert len(found) == len(X)
        assert found.dtype.kind in "OU" or np.isfinite(found).all()
    except ValueError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2**23
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "not a libbinnet file"),
        (lambda data: b"x" * 1000, "not a libbinnet file"),
        (lambda data: data[:-1], "shorter or longer than its header says"),
        (lambda data: data[:100], "shorter or longer than its header says"),
        (lambda data: data + bytes(4), "shorter or longer than its header says"),
        (lambda data: data[:-20] + b"x" + data[-19:], "its CRC-32 is wrong"),
        (lambda data: data[:50] + b"x" + data[51:], "its CRC-32 is wrong"),
        (lambda data: classifier().checkpoint_, "not a libbinnet file of the wanted kind"),
        (lambda data: pickle.dumps(classifier()), "not a libbinnet file"),
    ],
    ids=range(9),
)
def test_a_damaged_file(change, message, tmp_path):
    path = tmp_path / "net"
    save_model(classifier(), path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=f"net cannot be loaded: .*{message}"):
        load_model(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        load_model(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        load_model(tmp_path)
    with pytest.raises(TypeError, match="NoneType"):
        load_model(None)


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "net"
    path.write_bytes(b"of before")
    dates = classifier(X, Y)
    dates.classes_ = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="M8[D]")
    long = classifier(X, Y)
    long.classes_ = np.array(["a", "b" * 2**23, "c"])
    for estimator, error, message in [
        (long, ValueError, "the 3 classes_ times the longest are more than the 16777216 letters"),
        (None, TypeError, "save_model takes a fitted .*, got NoneType; of a search give"),
        (BinaryConnectClassifier, TypeError, "got ABCMeta|got type"),
        (BinaryConnectClassifier(), NotFittedError, "not fitted yet"),
        (dates, TypeError, r"classes_ are of type datetime64\[D\], of which .* joblib\.dump"),
    ]:
        with pytest.raises(error, match=message):
            save_model(estimator, path)
    with pytest.raises(OSError, match="nowhere"):
        save_model(classifier(), tmp_path / "nowhere" / "net")
    with pytest.raises(IsADirectoryError):
        save_model(classifier(), tmp_path)
    with pytest.raises(TypeError, match="int"):
        save_model(classifier(), 5)
    assert path.read_bytes() == b"of before"
    assert [file.name for file in tmp_path.iterdir()] == ["net"]


def test_the_engine_opens_it(tmp_path):
    estimator = classifier(X / 3)
    save_model(estimator, tmp_path / "net")
    data = (tmp_path / "net").read_bytes()
    assert _engine.model_sizes(data)[0] == len(estimator.model_) < len(data)
    features = estimator.encoder_.transform(X / 3)
    assert np.array_equal(
        _engine.predict_scores(data, features), _engine.predict_scores(estimator.model_, features)
    )
