"""Weights in the order of PyTorch and of Keras, in and out."""

import numpy as np
import pytest
from _networks import KINDS, F, N, T, classifier, fitted, new_X, real_predictions, regressor
from _oracles import load, torch_weights
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from skrnn import RNNClassifier, RNNRegressor
from skrnn.export import from_keras_weights, from_torch_state, to_keras_weights, to_torch_state

WAYS = {"torch": (to_torch_state, from_torch_state), "keras": (to_keras_weights, from_keras_weights)}


def identical(a, b):
    """Bit for bit, what they are and what they predict."""
    assert a._theta.dtype == b._theta.dtype
    assert a._theta.tobytes() == b._theta.tobytes()
    assert a._architecture == b._architecture


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("sizes", [4, (4, 4)])
@pytest.mark.parametrize(("cell", "activation"), [kind for kind in KINDS if kind[1] != "identity"])
def test_there_and_back_is_exact(cell, activation, sizes, bidirectional, dtype, way, global_random_seed):
    rng, (out, into) = np.random.default_rng(global_random_seed), WAYS[way]
    X = new_X(rng, dtype)
    options = {"cell": cell, "activation": activation, "hidden_layer_sizes": sizes, "bidirectional": bidirectional}
    for estimator in (
        classifier(rng, X, pooling=("last", "max"), **options),
        classifier(rng, X, 2, return_sequences=True, **options),
        regressor(rng, X, pooling="mean", **options),
    ):
        for bias in estimator.intercepts_.values():
            bias[0] = -0.0
        weights = out(estimator)
        back = into(estimator, weights)
        identical(estimator, back)
        assert_array_equal(real_predictions(estimator, X), real_predictions(back, X))
        of_clone = into(clone(estimator), weights)
        identical(estimator, of_clone)
        assert_array_equal(estimator.predict(X), of_clone.predict(X))


@pytest.mark.parametrize("way", WAYS)
def test_there_and_back_with_token_ids(way, global_random_seed):
    rng, (out, into) = np.random.default_rng(global_random_seed), WAYS[way]
    ids = rng.integers(0, 9, size=(N, T))
    clf = classifier(rng, ids, embedding_dim=3, n_tokens=9)
    back = into(clone(clf), out(clf))
    identical(clf, back)
    assert back.n_tokens_ == 9
    assert_array_equal(clf.predict_proba(ids), back.predict_proba(ids))
    with pytest.raises(ValueError, match=r"embedding has shape \(9, 3\), but embedding_dim and n_tokens make it \(7, 3\)"):
        into(clone(clf).set_params(n_tokens=7), out(clf))


@pytest.mark.parametrize("way", WAYS)
def test_the_weights_are_copies(way, global_random_seed):
    rng, (out, into) = np.random.default_rng(global_random_seed), WAYS[way]
    reg = regressor(rng, new_X(rng))
    before = reg._theta.copy()
    weights = out(reg)
    for array in weights.values() if way == "torch" else weights:
        array[...] = 0
    into(reg, weights)
    assert_array_equal(reg._theta, before)


# ---------------------------------------------------------------- PyTorch

TORCH = {name: case for name, case in load("torch").items() if not name.startswith(("tbptt", "train"))}
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def network_of_case(meta, arrays):
    """An estimator that predicts PyTorch's outputs: its readout is the identity."""
    H = meta["H"] * (1 + meta["bidirectional"])
    state = {name: array for name, array in arrays.items() if name.startswith(NAMES)}
    reg = RNNRegressor(
        hidden_layer_sizes=(meta["H"],) * meta["layers"], cell=meta["kind"], activation=meta["act"],
        bidirectional=meta["bidirectional"], return_sequences=True,
    )  # fmt: skip
    return from_torch_state(reg, state | {"head.weight": np.eye(H), "head.bias": np.zeros(H)}), state


def test_every_kind_of_case_is_there():
    assert len(TORCH) == 52


@pytest.mark.parametrize("name", [name for name, (meta, _) in TORCH.items() if not meta["bidirectional"]])
def test_outputs_of_pytorch(name):
    meta, arrays = TORCH[name]
    reg, _ = network_of_case(meta, arrays)
    states = [arrays[key] for key in ("h0", "c0") if key in arrays]
    initial = np.concatenate([of[layer] for layer in range(meta["layers"]) for of in states], axis=1)
    X = [x[:length] for x, length in zip(arrays["X"], meta["lengths"], strict=True)]
    for computed, expected in zip(reg.predict(X, initial), arrays["Y"], strict=True):
        assert_allclose(computed, expected[: len(computed)].reshape(computed.shape), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TORCH)
def test_weights_of_pytorch_are_those_of_the_cells(name):
    meta, arrays = TORCH[name]
    reg, state = network_of_case(meta, arrays)
    network = reg._fitted_network()
    expected = np.zeros_like(reg._theta)
    views = network.layout.views(expected)
    for layer, cells in enumerate(network.cells):
        for direction, cell in enumerate(cells):
            torch_weights(meta["kind"], arrays, layer, direction).write(cell, network.weights_of(views, layer, direction))
    np.fill_diagonal(views["readout"], 1)
    assert_array_equal(reg._theta, expected)
    # and back: the biases are added up, but for the candidate of a GRU
    computed = to_torch_state(reg)
    for key, array in state.items():
        if "weight" in key:
            assert_array_equal(computed[f"rnn.{key}"], array)
        elif "bias_ih" in key:
            other = key.replace("_ih", "_hh")
            assert_allclose(computed[f"rnn.{key}"] + computed[f"rnn.{other}"], array + arrays[other], rtol=0, atol=1e-15)
            if meta["kind"] == "gru":
                assert_array_equal(computed[f"rnn.{other}"][-meta["H"] :], arrays[other][-meta["H"] :])


@pytest.mark.parametrize(("cell", "activation"), [kind for kind in KINDS if kind[1] != "identity"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_module_of_pytorch(cell, activation, bidirectional, global_random_seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(global_random_seed)
    torch.manual_seed(global_random_seed)
    ids = rng.integers(0, 9, size=(N, T))
    new_layer = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    options = {"nonlinearity": activation} if cell == "rnn" else {}
    module = torch.nn.ModuleDict({
        "vectors": torch.nn.Embedding(9, F),
        "layers": new_layer(F, 4, num_layers=2, batch_first=True, bidirectional=bidirectional, **options),
        "head": torch.nn.Linear(8 if bidirectional else 4, 3),
    })  # fmt: skip
    with torch.no_grad():
        last = module["layers"](module["vectors"](torch.from_numpy(ids)))[1]
        last = last[0] if cell == "lstm" else last
        raw = module["head"](torch.cat([last[-2], last[-1]], dim=1) if bidirectional else last[-1])
    clf = RNNClassifier((4, 4), cell=cell, activation=activation, bidirectional=bidirectional, embedding_dim=F)
    for state in (module.state_dict(), dict(module.named_parameters())):
        computed = from_torch_state(clf, state, classes=["a", "b", "c"])
        assert_allclose(computed.predict_proba(ids), torch.softmax(raw, dim=1).numpy(), rtol=0, atol=1e-6)
    names = {"embedding": "vectors", "rnn": "layers", "readout": "head"}
    back = {names[key.partition(".")[0]] + key[key.index(".") :]: value for key, value in to_torch_state(computed).items()}
    module.load_state_dict({key: torch.from_numpy(value) for key, value in back.items()})
    assert_array_equal(from_torch_state(clf, module.state_dict())._theta, computed._theta)


@pytest.fixture
def state():
    rng = np.random.default_rng(0)
    shapes = {
        "lstm.weight_ih_l0": (16, F), "lstm.weight_hh_l0": (16, 4), "lstm.bias_ih_l0": (16,), "lstm.bias_hh_l0": (16,),
        "head.weight": (3, 4), "head.bias": (3,),
    }  # fmt: skip
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def lstm(**parameters):
    return RNNClassifier(4, cell="lstm", **parameters)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lstm.weight_ih_l0": None}, r"state has no lstm.weight_ih_l0"),
        ({"lstm.weight_ih_l0_reverse": (16, F)}, r"state has no lstm.weight_hh_l0_reverse"),
        ({"gru.weight_ih_l0": (12, F)}, "those of several, 'gru.' and 'lstm.'"),
        ({"lstm.weight_hr_l0": (2, 4)}, "no place for: lstm.weight_hr_l0"),
        ({"other.weight": (3, 4), "other.bias": (3,)}, r"an nn.Linear; besides the former it has head, other"),
        ({"norm.running_mean": (4,)}, "no place for: norm.running_mean"),
        ({"head.weight": None, "head.bias": None}, "besides the former it has nothing"),
        ({"head.weight": (3, 5)}, r"weights of shape \(3, 5\), but \(3, 4\) belongs to 3 output"),
        ({"head.bias": (4,)}, r"has 3 outputs, but biases of shape \(4,\)"),
        ({"lstm.weight_ih_l0": (3,)}, "must be matrices"),
        ({"lstm.weight_ih_l0": (12, F), "lstm.weight_hh_l0": (12, 4)}, r"have shapes \(12, 3\) and \(12, 4\), but cell='lstm'"),
    ],
)
def test_a_state_that_does_not_fit(state, change, message):
    for name, shape in change.items():
        if shape is None:
            del state[name]
        else:
            state[name] = np.ones(shape)
    with pytest.raises(ValueError, match=message):
        from_torch_state(lstm(), state)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (4, 4)}, r"those of 1 layers, but hidden_layer_sizes=\(4, 4\) has 2"),
        ({"hidden_layer_sizes": 5}, "but cell='lstm' of 5 units"),
        ({"bidirectional": True}, r"those of 1 direction\(s\), but bidirectional=True has 2"),
        ({"pooling": ("last", "max")}, r"but \(3, 8\) belongs to"),
        ({"embedding_dim": F}, "an nn.Embedding, which embedding_dim asks for"),
        ({"cell": "gru"}, r"\(16, 3\) and \(16, 4\), but cell='gru' of 4 units and 3 inputs has \(12, 3\) and \(12, 4\)"),
        ({"cell": "lst"}, "The 'cell' parameter of RNNClassifier must be"),
        ({"bidirectional": True, "stateful": True}, "stateful"),
    ],
)
def test_parameters_that_do_not_fit(state, parameters, message):
    with pytest.raises(ValueError, match=message):
        from_torch_state(lstm().set_params(**parameters), state)


def test_numbers_that_are_not_finite(state):
    state["lstm.weight_hh_l0"][2, 1] = np.nan
    with pytest.raises(ValueError, match="The weights hold NaN or infinity"):
        from_torch_state(lstm(), state)


def test_no_biases(state, global_random_seed):
    X = new_X(np.random.default_rng(global_random_seed))
    zero = {name: np.zeros_like(array) if "bias" in name else array for name, array in state.items()}
    without = {name: array for name, array in state.items() if "bias" not in name}
    assert_array_equal(from_torch_state(lstm(), without).predict_proba(X), from_torch_state(lstm(), zero).predict_proba(X))


def test_what_one_module_of_pytorch_cant_express(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=\(4, 3\) can't be one module"):
        to_torch_state(regressor(rng, X, hidden_layer_sizes=(4, 3)))
    with pytest.raises(ValueError, match="activation='identity' can't be expressed in PyTorch"):
        to_torch_state(regressor(rng, X, cell="rnn", activation="identity"))


# ---------------------------------------------------------------- Keras


def keras_step(cell, activation, kernel, recurrent_kernel, bias, x, h, c):
    """One step of a layer, as Keras documents it."""
    if cell == "gru":  # z, r, h; reset_after=True
        of_x, of_h = x @ kernel + bias[0], h @ recurrent_kernel + bias[1]
        (xz, xr, xh), (hz, hr, hh) = np.split(of_x, 3, axis=1), np.split(of_h, 3, axis=1)
        z, r = expit(xz + hz), expit(xr + hr)
        return z * h + (1 - z) * np.tanh(xh + r * hh), c
    a = x @ kernel + h @ recurrent_kernel + bias
    if cell == "rnn":
        return {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0), "identity": np.positive}[activation](a), c
    i, f, new, o = np.split(a, 4, axis=1)
    c = expit(f) * c + expit(i) * np.tanh(new)
    return expit(o) * np.tanh(c), c


def keras_model(weights, X, cell, activation, n_layers, n_directions):
    """What ``Bidirectional`` layers and a ``Dense`` make of ``X``: the logits."""
    *layers, kernel, bias = weights
    for layer in range(n_layers):
        outputs, last = [], []
        for direction in range(n_directions):
            arrays = layers[3 * (layer * n_directions + direction) :][:3]
            h = c = np.zeros((len(X), len(arrays[1])))
            steps = []
            for t in range(X.shape[1])[:: -1 if direction else 1]:
                h, c = keras_step(cell, activation, *arrays, X[:, t], h, c)
                steps.append(h)
            outputs.append(np.stack(steps[:: -1 if direction else 1], axis=1))
            last.append(h)
        X = np.concatenate(outputs, axis=2)
    return np.concatenate(last, axis=1) @ kernel + bias


@pytest.mark.parametrize(("cell", "activation"), KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("sizes", [(4,), (5, 3)])
def test_a_model_of_keras(cell, activation, bidirectional, sizes, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = new_X(rng)
    clf = classifier(rng, X, cell=cell, activation=activation, hidden_layer_sizes=sizes, bidirectional=bidirectional)
    raw = keras_model(to_keras_weights(clf), X, cell, activation, len(sizes), 1 + bidirectional)
    assert_allclose(softmax(raw, axis=1), clf.predict_proba(X), rtol=0, atol=1e-12)


KERAS = {
    name: case
    for name, case in load("keras").items()
    if not {"mask", "h0"} & case[1].keys() and not case[0].get("back") and case[0].get("passes", 1) == 1
}


@pytest.mark.parametrize("name", KERAS)
def test_outputs_of_keras(name):
    meta, arrays = KERAS[name]
    cell, H, n_inputs = meta["kind"], meta["H"], arrays["X"].shape[2]
    G = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    is_before = not meta.get("reset_after", True)
    bias = np.full((2, G * H) if cell == "gru" and not is_before else G * H, 0.03 if meta.get("use_bias", True) else 0.0)
    if cell == "lstm" and meta.get("use_bias", True) and meta.get("ufb", True):
        bias[H : 2 * H] = 1
    weights = [np.full((n_inputs, G * H), 0.01), np.full((H, G * H), 0.02), bias, np.eye(H), np.zeros(H)]
    reg = RNNRegressor(hidden_layer_sizes=H, cell=cell)
    if is_before:
        with pytest.raises(ValueError, match="reset_after=False computes something else"):
            from_keras_weights(reg, weights)
    else:
        assert_allclose(from_keras_weights(reg, weights).predict(arrays["X"]), arrays["last"], rtol=0, atol=1e-12)


def test_weights_of_keras_that_are_too_few(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    reg = regressor(rng, new_X(rng), cell="lstm")
    kernel, recurrent_kernel, _, *dense = to_keras_weights(reg)
    with pytest.raises(ValueError, match=r"weights has 4 arrays, but 5 belong to 1 recurrent layer\(s\) with 1 direction\(s\)"):
        from_keras_weights(clone(reg), [kernel, recurrent_kernel, *dense])


# ---------------------------------------------------------------- what the estimator becomes


def test_classes_in_any_order(state, global_random_seed):
    X = new_X(np.random.default_rng(global_random_seed))
    clf = from_torch_state(lstm(), state)
    assert clf.classes_.tolist() == [0, 1, 2]
    named = from_torch_state(lstm(), state, classes=["up", "down", "flat"])
    assert named.classes_.tolist() == ["down", "flat", "up"]
    assert_allclose(named.predict_proba(X), clf.predict_proba(X)[:, [1, 2, 0]], rtol=0, atol=1e-15)


def test_two_logits_or_one(state, global_random_seed):
    X = new_X(np.random.default_rng(global_random_seed))
    state["head.weight"], state["head.bias"] = state["head.weight"][:2], state["head.bias"][:2]
    both = from_torch_state(lstm(), state)
    assert both.n_outputs_ == 1
    states = from_torch_state(RNNRegressor(hidden_layer_sizes=4, cell="lstm"), state)
    assert_allclose(both.predict_proba(X), softmax(states.predict(X), axis=1), rtol=0, atol=1e-12)
    swapped = from_torch_state(lstm(), state, classes=["b", "a"])
    assert_allclose(swapped.predict_proba(X), both.predict_proba(X)[:, ::-1], rtol=0, atol=1e-12)
    state["head.weight"], state["head.bias"] = np.diff(state["head.weight"], axis=0), np.diff(state["head.bias"])
    assert_array_equal(from_torch_state(lstm(), state).predict_proba(X), both.predict_proba(X))
    assert_array_equal(from_torch_state(lstm(), state, classes=["b", "a"]).predict_proba(X), swapped.predict_proba(X))


def test_independent_labels(state, global_random_seed):
    X = new_X(np.random.default_rng(global_random_seed))
    clf = from_torch_state(lstm(), state, multilabel=True)
    raw = from_torch_state(RNNRegressor(hidden_layer_sizes=4, cell="lstm"), state).predict(X)
    assert_allclose(clf.predict_proba(X), expit(raw), rtol=0, atol=1e-12)
    assert clf.predict(X).shape == (N, 3)


def test_classes_that_do_not_fit(state):
    reg = RNNRegressor(hidden_layer_sizes=4, cell="lstm")
    for estimator, options, message in [
        (lstm(), {"classes": ["a", "b"]}, "The readout has 3 rows, which does not go with 2 classes"),
        (lstm(), {"classes": ["a", "b", "a"]}, "classes must be a list of different labels"),
        (lstm(), {"classes": [0, 1, 2], "multilabel": True}, "leave classes out"),
        (reg, {"classes": [0, 1, 2]}, "are for an RNNClassifier, but the estimator is RNNRegressor"),
        (from_torch_state(lstm(), state), {"classes": [0, 1, 2]}, "for an estimator that is not fitted"),
    ]:
        with pytest.raises(ValueError, match=message):
            from_torch_state(estimator, state, **options)


def test_training_goes_on_from_the_weights(state, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X, y = new_X(rng), np.array([0, 1, 2, 0, 1])
    clf = from_torch_state(lstm(learning_rate_init=1e-12, max_iter=1, warm_start=True, random_state=0), state)
    assert clf.n_iter_ == 0
    before = clf.predict_proba(X)
    assert_allclose(clf.fit(X, y).predict_proba(X), before, rtol=0, atol=1e-9)
    assert_allclose(clf.partial_fit(X, y).predict_proba(X), before, rtol=0, atol=1e-9)
    assert clf.n_iter_ == 2
    assert not np.allclose(clf.set_params(warm_start=False).fit(X, y).predict_proba(X), before)


def test_a_fitted_estimator_keeps_what_it_knows(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    rows = new_X(rng).reshape(N, -1)
    clf = fitted(RNNClassifier(4, n_features_per_step=F), rows, ["a", "b", "c", "a", "b"], rng)
    back = from_keras_weights(clf, to_keras_weights(clf))
    assert back.n_features_in_ == T * F
    assert_array_equal(back.predict(rows), clf.predict(rows))
    kernel, *others = to_keras_weights(clf)
    with pytest.raises(ValueError, match=r"of 4 units and 3 inputs has \(12, 3\)"):
        from_keras_weights(clf, [kernel[:2], *others])
    with pytest.raises(ValueError, match="hidden_layer_sizes changed since the last fit"):
        from_keras_weights(clf.set_params(hidden_layer_sizes=5), to_keras_weights(clf))


def test_the_precision_of_the_weights_unless_told(state):
    single = {name: array.astype(np.float32) for name, array in state.items()}
    assert from_torch_state(lstm(), single)._theta.dtype == np.float32
    assert from_torch_state(lstm(), state)._theta.dtype == np.float64
    assert from_torch_state(lstm(dtype="float32"), state)._theta.dtype == np.float32


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_ours(way):
    out, into = WAYS[way]
    for call in (lambda: out(LogisticRegression()), lambda: into(LogisticRegression(), {})):
        with pytest.raises(TypeError, match="must be an RNNClassifier or RNNRegressor, got LogisticRegression"):
            call()
    with pytest.raises(NotFittedError):
        out(RNNRegressor())


@pytest.mark.parametrize(
    ("state", "error"), [(None, TypeError), ([1], TypeError), ({"rnn.weight_ih_l0": 1.0}, ValueError)], ids=str
)
def test_a_state_of_pytorch_is_a_dict_of_arrays(state, error):
    with pytest.raises(error, match="state must"):
        from_torch_state(RNNClassifier(4), state)


def test_a_gru_of_keras_has_two_rows_of_biases():
    X = np.random.default_rng(0).normal(size=(4, 5, 2))
    weights = to_keras_weights(RNNRegressor(hidden_layer_sizes=3, max_iter=1).fit(X, X[:, 0, 0]))
    weights[2] = np.ones((3, 9))
    with pytest.raises(ValueError, match=r"has a bias of shape \(2, 3 \* n_units\), got \(3, 9\)"):
        from_keras_weights(RNNRegressor(hidden_layer_sizes=3), weights)
