"""Regraft as scikit-learn's estimators: they search, cross-validate, clone and pickle, and what is frozen runs once."""

from __future__ import annotations

import io
import pickle
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import regraft
from regraft.errors import BadImage, ConfigError, DataError, RegraftError, UnknownName, WeightsMismatch
from regraft.experiments.estimators import FeatureExtractor, RegraftClassifier
from regraft.inference import bundle
from regraft.utils.progress import Progress, TerminalProgress, Tick

SMALL: dict[str, Any] = {
    "backbone": "squeezenet1_1",
    "weights": "random",
    "img_size": 64,
    "method": "features",
    "device": "cpu",
    "engine": "torch",
}
NETWORK = "squeezenet1_1"


class Listener(Progress):
    """Counts the pictures that go through the network, and hears what is said."""

    def __init__(self) -> None:
        self.passed, self.warned = Counter[str](), list[str]()

    def warn(self, text: str) -> None:
        self.warned.append(text)

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
        def tick(advance: int = 1, text: str = "") -> None:
            self.passed[what] += advance

        yield tick


@pytest.fixture(scope="module")
def paths(shapes: Path) -> list[Path]:
    return sorted(shapes.rglob("*.png"))


@pytest.fixture(scope="module")
def colours(paths: list[Path]) -> list[str]:
    return [path.parent.name for path in paths]


@pytest.fixture(scope="module")
def fitted(paths: list[Path], colours: list[str]) -> RegraftClassifier:
    return RegraftClassifier(**SMALL).fit(paths, colours)


@pytest.fixture(scope="module")
def trained(fitted: RegraftClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle; read only."""
    bundle.save(folder := tmp_path_factory.mktemp("trained") / "model", fitted.model_)
    return folder


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No row is there from other tests."""
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def extractor(**settings: Any) -> FeatureExtractor:
    return FeatureExtractor(NETWORK, **{"weights": "random", "img_size": 64, "engine": "torch", **settings})


# ---- what it learns and answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["features", "frozen", "finetuned", "full"])
def test_every_method_learns_and_answers(method: str, paths: list[Path], colours: list[str]) -> None:
    model = RegraftClassifier(**{**SMALL, "method": method, "hidden": 0, "epochs": 3}).fit(paths, colours)
    probabilities = model.predict_proba(paths)
    assert model.classes_.tolist() == ["blue", "green", "red", "yellow"]
    assert probabilities.shape == (80, 4)
    assert np.allclose(probabilities.sum(1), 1)
    assert model.score(paths, colours) == np.mean(model.predict(paths) == np.array(colours))
    assert model.score(paths, colours) > 0.4


def test_what_it_answers_is_what_its_model_answers(fitted: RegraftClassifier, paths: list[Path]) -> None:
    own = np.stack([answer.probabilities for answer in fitted.model_.predict(paths, engine="torch", device="cpu")])
    assert np.abs(own - fitted.predict_proba(paths)).max() < 0.01  # kept rows have half precision


def test_a_tail_that_was_trained_answers_too(paths: list[Path], colours: list[str]) -> None:
    model = RegraftClassifier(**{**SMALL, "method": "finetuned", "epochs": 2}).fit(paths, colours)
    own = np.stack([answer.probabilities for answer in model.model_.predict(paths, engine="torch", device="cpu")])
    assert 0 < model.cut_ < len(model.model_.backbone.stages)
    assert np.abs(own - model.predict_proba(paths)).max() < 0.02


def test_pictures_in_any_form_are_the_same_pictures(fitted: RegraftClassifier, paths: list[Path]) -> None:
    some = paths[::9]
    images = [Image.open(path) for path in some]
    arrays = [np.asarray(image) for image in images]
    as_objects = np.empty(len(arrays), object)
    as_objects[:] = arrays
    expected = fitted.predict_proba(some)
    for form in ([str(path) for path in some], tuple(some), images, arrays, as_objects, np.stack(arrays)):
        assert np.allclose(fitted.predict_proba(form), expected, atol=1e-4)  # other bytes: their rows are their own
    assert np.array_equal(fitted.predict_proba(np.array([str(path) for path in some])), expected)


def test_grey_pictures_are_taken(paths: list[Path], colours: list[str]) -> None:
    grey = [np.asarray(Image.open(path).convert("L")) for path in paths]
    assert RegraftClassifier(**SMALL).fit(grey, colours).predict(grey[:3]).shape == (3,)


def test_labels_come_back_as_they_were_given(paths: list[Path], colours: list[str]) -> None:
    numbers = np.array([{"blue": 10, "green": 2, "red": -1, "yellow": 7}[name] for name in colours])
    model = RegraftClassifier(**SMALL).fit(paths, numbers)
    assert model.classes_.tolist() == [-1, 2, 7, 10]
    assert model.predict(paths).dtype == numbers.dtype
    assert model.score(paths, numbers) > 0.5


def test_groups_stay_together_when_the_validation_part_is_held_out(paths: list[Path], colours: list[str]) -> None:
    one = RegraftClassifier(**SMALL)
    with pytest.raises(DataError, match="groups"):  # every class in one group: none is left to learn from
        one.fit(paths, colours, groups=colours)
    assert one.fit(paths, colours, groups=[path.stem[-1] for path in paths]).score(paths, colours) > 0.5


def test_features_are_those_of_regraft_features(paths: list[Path]) -> None:
    settings: dict[str, Any] = {"weights": "random", "img_size": 64, "engine": "torch"}
    for layer in (None, "features.3-5"):
        rows = extractor(layer=layer).fit_transform(paths)
        assert np.array_equal(rows, regraft.features(NETWORK, paths, layer=layer, **settings).array)


def test_columns_have_names(paths: list[Path]) -> None:
    one = extractor().fit(paths)
    names = one.get_feature_names_out()
    assert len(names) == one.transform(paths[:2]).shape[1]
    assert names[:2].tolist() == ["squeezenet1_1_0", "squeezenet1_1_1"]
    pytest.importorskip("pandas")
    assert list(one.set_output(transform="pandas").transform(paths[:2]).columns) == list(names)


def test_features_of_a_run(trained: Path, paths: list[Path]) -> None:
    one = FeatureExtractor(trained, engine="torch").fit(paths)
    rows = one.transform(paths[:4])
    assert np.array_equal(rows, regraft.features(trained, paths[:4], engine="torch").array)


def test_deep_pictures_are_seen_on_the_scale_of_fit(tmp_path: Path) -> None:
    made = [tmp_path / f"{top}.png" for top in (1000, 4000)]
    for path, top in zip(made, (1000, 4000), strict=True):
        ramp = np.linspace(0, top, 64 * 64).reshape(64, 64).astype(np.uint16)
        Image.fromarray(ramp).save(path)
    one = extractor().fit(made)
    assert np.allclose(one.transform(made)[0], one.transform(made[:1])[0])  # alone it would be brighter


# ---- in scikit-learn's company --------------------------------------------------------------------------------------


def test_the_frozen_part_runs_once_over_all_folds_and_grid_points(
    empty_cache: Path, paths: list[Path], colours: list[str]
) -> None:
    heard = Listener()
    groups = [path.stem[-1] for path in paths]
    grid = {"method": ["features", "frozen"], "hidden": [0, 8]}
    search = GridSearchCV(RegraftClassifier(**SMALL, epochs=2, progress=heard), grid, cv=GroupKFold(3))
    search.fit(paths, colours, groups=groups)
    scores = cross_val_score(
        search.best_estimator_, paths, colours, groups=groups, cv=GroupKFold(3), params={"groups": groups}
    )
    assert len(scores) == 3
    assert search.best_estimator_.predict(paths).shape == (80,)
    assert heard.passed[NETWORK] == 80  # 4 points x 3 folds, learned and answered, one fit on all, 3 folds again


def test_stages_below_a_trained_tail_run_no_more_for_other_rates(
    empty_cache: Path, paths: list[Path], colours: list[str]
) -> None:
    heard = Listener()
    model = RegraftClassifier(**{**SMALL, "method": "finetuned"}, epochs=1, views=1, keep="always", progress=heard)
    cross_val_score(model, paths, colours, cv=StratifiedKFold(2))
    # the pictures of the first test fold went through the frozen stages; the head's own phase needs them further up
    assert heard.passed[NETWORK] == 120
    cross_val_score(model.set_params(tail_lr=1e-4), paths, colours, cv=StratifiedKFold(2))
    assert heard.passed[NETWORK] == 120


def test_arrays_share_rows_by_their_content(empty_cache: Path, paths: list[Path], colours: list[str]) -> None:
    heard = Listener()
    arrays = np.stack([np.asarray(Image.open(path)) for path in paths])
    pipeline = make_pipeline(extractor(progress=heard), LogisticRegression(max_iter=1000))
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.01, 1.0]}, cv=2).fit(arrays, colours)
    assert search.score(arrays, colours) > 0.5
    assert heard.passed[NETWORK] == 80


def test_clones_have_the_settings_and_nothing_that_was_learned(fitted: RegraftClassifier) -> None:
    for listener in (None, Listener(), TerminalProgress()):
        other = clone(fitted.set_params(progress=listener))
        assert other.get_params() == fitted.get_params()
        with pytest.raises(NotFittedError):
            other.predict([])
    fitted.set_params(progress=None)


NOT_OF_NUMBERS = dict.fromkeys(
    ("check_estimator_sparse_tag", "check_estimator_sparse_array", "check_estimator_sparse_matrix"),
    "pictures are no sparse matrix, which is refused as any table is, without that word",
) | {"check_transformer_general": "pictures have no number of columns that could be another one than in fit"}


class OfNumbers:
    """Draws rows of numbers as pictures, a grey square for each: scikit-learn's checks know only rows of numbers."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array, tags.no_validation = True, True
        tags.input_tags.one_d_array = tags.input_tags.string = False
        return tags

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        return super().fit(drawn_as_squares(X), y)  # type: ignore[misc]


class ClassifierOfNumbers(OfNumbers, RegraftClassifier):
    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        return super().predict_proba(drawn_as_squares(X))


class ExtractorOfNumbers(OfNumbers, FeatureExtractor):
    def transform(self, X: Any) -> Any:  # noqa: N803
        return super().transform(drawn_as_squares(X))


def drawn_as_squares(rows: Any) -> Any:
    numbers = np.asarray(rows)
    if numbers.ndim != 2:
        return rows
    grey = np.clip(128 + 24 * numbers.astype(float), 0, 255).astype(np.uint8)  # [n, columns]
    side = int(np.ceil(np.sqrt(grey.shape[1])))
    squares = np.pad(grey, ((0, 0), (0, side**2 - grey.shape[1]))).reshape(-1, side, side)
    return [np.kron(picture, np.ones((32 // side, 32 // side), np.uint8)) for picture in squares]


@parametrize_with_checks(
    [
        ClassifierOfNumbers(**{**SMALL, "img_size": 32}, class_weights="off"),
        ExtractorOfNumbers(NETWORK, weights="random", img_size=32, device="cpu", engine="torch"),
    ],
    expected_failed_checks=lambda estimator: NOT_OF_NUMBERS,
)
def test_what_scikit_learn_checks_of_any_estimator_holds(estimator: Any, check: Any) -> None:
    if getattr(check, "keywords", {}).get("readonly_memmap"):
        pytest.skip("the numbers have been drawn by then: where they lay makes no difference")
    check(estimator)


# ---- pickles --------------------------------------------------------------------------------------------------------


class Reading(pickle.Unpickler):
    """Notes the libraries whose code a pickle asks for."""

    libraries: ClassVar[set[str]] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.libraries.add(module.split(".")[0])
        return super().find_class(module, name)


@pytest.mark.parametrize("method", ["features", "finetuned"])
def test_a_pickle_holds_the_bundle_and_answers_equally(method: str, paths: list[Path], colours: list[str]) -> None:
    model = RegraftClassifier(**{**SMALL, "method": method, "epochs": 1}, progress=Listener()).fit(paths, colours)
    content = pickle.dumps(model)
    again = Reading(io.BytesIO(content)).load()
    assert Reading.libraries <= {"regraft", "numpy"}
    assert again.progress is None
    assert np.array_equal(again.predict_proba(paths), model.predict_proba(paths))
    assert again.__getstate__()["model_"] == model.__getstate__()["model_"]


def test_a_changed_byte_of_a_pickle_is_noticed(fitted: RegraftClassifier) -> None:
    state = fitted.__getstate__()
    state["model_"]["model.safetensors"] = state["model_"]["model.safetensors"][:-1] + b"\x7f"
    with pytest.raises(RegraftError, match="not as it was written"):
        RegraftClassifier().__setstate__(state)


def test_a_pickled_extractor_of_a_run_needs_no_run(trained: Path, paths: list[Path]) -> None:
    one = FeatureExtractor(trained, engine="torch").fit(paths)
    again = pickle.loads(pickle.dumps(one)).set_params(model="gone")
    assert np.array_equal(again.transform(paths[:4]), one.transform(paths[:4]))


def test_a_pickled_extractor_takes_no_other_weights(paths: list[Path]) -> None:
    one = extractor().fit(paths)
    content = pickle.dumps(one)
    assert len(content) < 2000
    again = pickle.loads(content)
    assert np.array_equal(again.transform(paths[:4]), one.transform(paths[:4]))
    other = pickle.loads(content)
    other.model = "squeezenet1_0"
    with pytest.raises(WeightsMismatch, match="fit it again"):
        other.transform(paths[:4])


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_one_picture_is_no_list_of_pictures(fitted: RegraftClassifier, paths: list[Path]) -> None:
    array = np.asarray(Image.open(paths[0]))
    for single in (paths[0], str(paths[0]), paths[0].read_bytes(), Image.open(paths[0]), array, {"a": paths[0]}, 3):
        with pytest.raises(ConfigError, match=r"X is a .* Expected a list of paths"):
            fitted.predict(single)


def test_a_table_is_refused_and_its_column_is_taken(fitted: RegraftClassifier, paths: list[Path]) -> None:
    table = pytest.importorskip("pandas").DataFrame({"file": [str(path) for path in paths[:3]]})
    with pytest.raises(ConfigError, match="give one column of it"):
        fitted.predict(table)
    assert np.array_equal(fitted.predict_proba(table["file"]), fitted.predict_proba(paths[:3]))


def test_a_folder_among_the_pictures_is_refused(fitted: RegraftClassifier, paths: list[Path]) -> None:
    for refusing in (fitted.predict, extractor().fit(paths).transform):
        with pytest.raises(ConfigError, match="2 entries, and they name 21 pictures"):
            refusing([paths[0], paths[0].parent])


def test_labels_and_groups_are_one_for_each_picture(paths: list[Path], colours: list[str]) -> None:
    one = RegraftClassifier(**SMALL)
    with pytest.raises(ConfigError, match="80 pictures and 79 labels"):
        one.fit(paths, colours[1:])
    with pytest.raises(ConfigError, match="80 pictures and 2 groups"):
        one.fit(paths, colours, groups=["a", "b"])
    for missing in (None, np.nan):
        with pytest.raises(ConfigError, match="1 of 80 pictures have no group"):
            one.fit(paths, colours, groups=[missing, *colours[1:]])
    with pytest.raises(ConfigError, match="requires y to be passed"):
        one.fit(paths, None)
    with pytest.raises(ConfigError, match=r"y has 1 class: 'a'\. Expected two or more"):
        one.fit(paths, ["a"] * 80)
    with pytest.raises(ConfigError, match="each with a name"):
        one.fit(paths, ["a", ""] * 40)
    with pytest.raises(ValueError, match="continuous"):
        one.fit(paths, np.linspace(0.0, 1.0, 80))


def test_a_picture_that_cannot_be_read_is_named(
    fitted: RegraftClassifier, paths: list[Path], colours: list[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG but no more")
    for refusing in (fitted.predict, extractor().fit(paths).transform):
        with pytest.raises(BadImage, match=r"broken\.png cannot be read"):
            refusing([*paths[:3], broken])
    heard = Listener()
    model = RegraftClassifier(**SMALL, progress=heard).fit([*paths, broken], [*colours, "red"])
    assert model.score(paths, colours) == fitted.score(paths, colours)
    assert any("1 of 81 files" in said for said in heard.warned)


def test_settings_are_looked_at_in_fit(paths: list[Path], colours: list[str]) -> None:
    with pytest.raises(UnknownName, match="frozen"):
        RegraftClassifier(method="freeze").fit(paths, colours)
    with pytest.raises(ConfigError, match="dropout"):
        RegraftClassifier(dropout=2.0).fit(paths, colours)
    with pytest.raises(UnknownName, match="resnet50"):
        FeatureExtractor("resnet5").fit(paths)
    with pytest.raises(UnknownName, match=r"features\.3-5"):
        extractor(layer="conv0").fit(paths)
