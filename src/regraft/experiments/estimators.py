"""Regraft as scikit-learn's estimators: pictures X and labels y in, what `train` and `features` make of them out.

What is frozen runs once here too: rows are kept by the content of a picture, so that folds, grid points and the
pictures that are predicted share them, whichever estimator has asked first.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from regraft import methods
from regraft.activations.devices import pick_device
from regraft.activations.prefix import Demand, Prefix
from regraft.activations.sources import Pictures as Files
from regraft.config import Config, changed
from regraft.data import Item, Manifest, Named, Picture, augmentations, gathered, read_digests, split, survey
from regraft.errors import BadImage, ConfigError, WeightsMismatch
from regraft.experiments.fitting import Fitting
from regraft.experiments.session import Session, idle_options, load_network, means_of
from regraft.inference import bundle
from regraft.inference.classifier import Classifier
from regraft.inference.extraction import opened
from regraft.inference.features import features
from regraft.metrics.calibration import tempered
from regraft.metrics.tta import mean_over_views
from regraft.training.batches import Examples
from regraft.training.loop import predict
from regraft.utils.calls import named_rightly
from regraft.utils.progress import Listener, Progress, listener
from regraft.weights.state import digest_state

AGAIN = 10
"""So often, about, the same pictures are asked for in a search over folds: rows that cost much to make are kept."""

X_EXPECTED = "a list of paths, Pillow images or uint8 arrays ([h, w, 3] or [h, w]), or one uint8 array [n, h, w, 3]"


class _OfPictures(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators are: of pictures, and pickled as a bundle is written."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: of a model its tensors and JSON; no modules, and nobody who listens."""
        state = {**super().__getstate__(), "progress": None}
        if isinstance(model := state.get("model_"), Classifier):  # a published network is known by its name
            state["model_"] = bundle.to_bytes(model) if model.spec else None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if isinstance(state.get("model_"), dict):
            self.model_ = bundle.from_bytes(state["model_"])


@named_rightly
class RegraftClassifier(ClassifierMixin, _OfPictures):  # type: ignore[misc]
    """A classifier of pictures, trained as `regraft.train` trains, for pipelines, searches and cross-validation.

    X is a list, tuple, array or Series of pictures: paths, Pillow images, uint8 arrays ``[h, w, 3]`` or ``[h, w]``; or
    one uint8 array ``[n, h, w, 3]``. Nothing is written but the cache; for a run folder with its report see `train`.

    `fit` holds `val` of the pictures out of what it learns from, to choose the epoch and to calibrate. It takes no
    ``sample_weight``: `class_weights` is for classes of unequal size. By default a rare class may be answered before
    it is the most probable one; with ``class_weights="off"``, `predict` is always the argmax of `predict_proba`.

    A pickle holds the model as a bundle does, as tensors and JSON, and no `progress`. Settings are those of `Config`
    of the same name, and looked at in `fit`; `progress` is as in `regraft.train`.

    Attributes:
        classes_: the labels, sorted.
        model_: the `Classifier` that was learned; `predict_proba` gives what it does, up to the rounding of kept rows.
        cut_: how many of the network's stages are frozen.
    """

    def __init__(
        self,
        backbone: str = Config.backbone,
        *,
        method: str = Config.method,
        weights: str | None = None,
        from_run: str | None = None,
        img_size: int | None = None,
        unfreeze: str | None = None,
        hidden: int = Config.hidden,
        dropout: float = Config.dropout,
        views: int | None = None,
        augment: str = Config.augment,
        epochs: int | None = None,
        lr: float | None = None,
        tail_lr: float | None = None,
        class_weights: str = Config.class_weights,
        val: float = Config.val,
        seed: int = Config.seed,
        device: str = Config.device,
        engine: str = Config.engine,
        precision: str = Config.precision,
        keep: str = Config.keep,
        cache_limit: float = Config.cache_limit,
        progress: Listener = None,
    ) -> None:
        self.backbone = backbone
        self.method = method
        self.weights = weights
        self.from_run = from_run
        self.img_size = img_size
        self.unfreeze = unfreeze
        self.hidden = hidden
        self.dropout = dropout
        self.views = views
        self.augment = augment
        self.epochs = epochs
        self.lr = lr
        self.tail_lr = tail_lr
        self.class_weights = class_weights
        self.val = val
        self.seed = seed
        self.device = device
        self.engine = engine
        self.precision = precision
        self.keep = keep
        self.cache_limit = cache_limit
        self.progress = progress

    def fit(self, X: Iterable[Picture], y: Sequence[Any], groups: Sequence[Any] | None = None) -> RegraftClassifier:  # noqa: N803
        """Learn from pictures X [n] with labels y [n]; those of one group are not torn when `val` is held out.

        Raises:
            ConfigError: what is no picture; not one label, or group, for each picture; fewer than two classes; a
                setting out of its range.
            SplitError: too few pictures, or groups, of a class.
            TooManyBadImages: more than 5 % of the pictures cannot be read; fewer are left out.
            ValueError: labels that are no classes.
        """
        config, progress = self._config(), listener(self.progress)
        methods.check(config.method)
        augmentations(config.augment)
        with _one_each(X, progress) as files:
            self.classes_, manifest = _labelled(files, y, groups)
            parts = split(manifest, val=config.val, test=0.0, seed=config.seed)
            requested = changed(config.as_dict())
            session = Session(manifest.root, config, requested, progress, manifest, splits=[parts])
            self.model_, self.cut_ = _learned(session)
        return self

    def predict(self, X: Iterable[Picture]) -> NDArray[Any]:  # noqa: N803
        """Return the predicted label for each picture, [n].

        Raises:
            BadImage: a picture that cannot be read: it has no prediction.
            ConfigError: what is no picture.
        """
        probabilities = self.predict_proba(X)
        predicted: NDArray[Any] = self.classes_[self.model_.answers(probabilities)]
        return predicted

    def predict_proba(self, X: Iterable[Picture]) -> NDArray[np.float64]:  # noqa: N803
        """Return the probabilities of each picture, [n, classes], in the order of `classes_`.

        Raises:
            BadImage, ConfigError: as `predict`.
        """
        check_is_fitted(self)
        config, progress = self._config(), listener(self.progress)
        with _one_each(X, progress) as files:
            model = self.model_.seeing([file.path for file in files], progress)
            return _answered(model, self.cut_, files, config, progress)

    def _config(self) -> Config:
        settings = self.get_params(deep=False)
        del settings["progress"]
        return Config(**settings)


@named_rightly
class FeatureExtractor(TransformerMixin, _OfPictures):  # type: ignore[misc]
    """What a network makes of pictures, as `regraft.features`, in front of scikit-learn's own estimators.

    X is as in `RegraftClassifier`. `model` is a network's name, or a run or bundle folder. Nothing is learned in `fit`,
    but the scale on which pictures of more than 8 bits are shown: later pictures are seen on the same one. A pickle
    holds a model that was trained as a bundle does; a published network it holds by its name and the digest of its
    weights, and no others are taken for them.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = Config.backbone,
        *,
        layer: str | None = None,
        weights: str | None = None,
        img_size: int | None = None,
        device: str = Config.device,
        engine: str = Config.engine,
        precision: str = Config.precision,
        cache_limit: float = Config.cache_limit,
        progress: Listener = None,
    ) -> None:
        self.model = model
        self.layer = layer
        self.weights = weights
        self.img_size = img_size
        self.device = device
        self.engine = engine
        self.precision = precision
        self.cache_limit = cache_limit
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # pictures have no part in the rows' float32
        return tags

    def fit(self, X: Iterable[Picture], y: object = None) -> FeatureExtractor:  # noqa: N803
        """Open the network, and look on which scale the pictures are to be seen.

        Raises:
            UnknownName: there is no such network or stage.
            ConfigError: what is no picture; a setting out of its range.
        """
        pictures, progress = _listed(X), listener(self.progress)
        self.model_ = self._opened()
        with gathered(pictures, progress) as files:
            seen = survey([file.path for file in files]).value_range if self.model_.spec is None else None
        self.range_ = None if seen is None else f"{seen[0]!r}:{seen[1]!r}"
        self.width_, self.weights_digest_ = self.model_.backbone.until(self.layer).width, _digest(self.model_)
        return self

    def transform(self, X: Iterable[Picture]) -> NDArray[np.float32]:  # noqa: N803
        """Return a row for each picture, float32 [n, c].

        Raises:
            BadImage: a picture that cannot be read: it has no row.
            ConfigError: what is no picture.
            WeightsMismatch: this was unpickled, and the weights at hand are others than in `fit`.
        """
        check_is_fitted(self)
        pictures = _listed(X)
        found = features(
            self._same_model(),
            pictures,
            layer=self.layer,
            img_size=self.img_size,
            range=self.range_,
            device=self.device,
            engine=self.engine,
            precision=self.precision,
            cache_limit=self.cache_limit,
            progress=self.progress,
        )
        _refuse_several(pictures, found.paths)
        return found.array

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return a name for each column: ``resnet50_0``, ``resnet50_1`` …; `input_features` is passed over."""
        check_is_fitted(self)
        name = self._same_model().backbone.name
        return np.array([f"{name}_{at}" for at in range(self.width_)], dtype=object)

    def _opened(self) -> Classifier:
        """Return the model, or a published network with its own head, which is not asked."""
        found = opened(self.model, self.weights)
        if isinstance(found, Classifier):
            return found
        backbone = found.sized(self.img_size, Config.fit)
        return Classifier(backbone, backbone.classifier.module, ())

    def _same_model(self) -> Classifier:
        """Return the model of `fit`; a published network that a pickle has held by its name is opened again."""
        if self.model_ is None:
            model = self._opened()
            if _digest(model) != self.weights_digest_:
                raise WeightsMismatch(
                    f"The weights of {self.model} at hand are others than those that this was fitted with: its columns "
                    "would mean something else. Give it the same ones (weights=…), or fit it again."
                )
            self.model_ = model
        return self.model_


# ---- pictures and labels --------------------------------------------------------------------------------------------


def _listed(X: object) -> list[Picture]:  # noqa: N803
    """Return the pictures of X, each by itself.

    Raises:
        ConfigError: X is a single picture, or a table.
    """
    table = hasattr(X, "columns")
    single = isinstance(X, str | bytes | os.PathLike | Image.Image) or getattr(X, "ndim", 1) in (0, 2, 3)
    if table or single or isinstance(X, Mapping) or not isinstance(X, Iterable):
        shape = getattr(X, "shape", None)
        found = f"{type(X).__name__}{f' {list(shape)}' if isinstance(shape, tuple) else ''}"
        raise ConfigError(f"X is a {found}. Expected {X_EXPECTED}{'; give one column of it' if table else ''}.")
    return list(X)


def _refuse_several(pictures: Sequence[Picture], found: Sequence[object]) -> None:
    """Raise ConfigError where a folder or glob among the pictures stands for several."""
    if len(found) != len(pictures):
        raise ConfigError(
            f"X has {len(pictures)} entries, and they name {len(found)} pictures: there are folders or globs among "
            "them. Expected one picture for each."
        )


@contextmanager
def _one_each(X: Iterable[Picture], progress: Progress) -> Iterator[list[Named]]:  # noqa: N803
    """Make files of the pictures of X, as `gathered`."""
    pictures = _listed(X)
    with gathered(pictures, progress) as files:
        _refuse_several(pictures, files)
        yield files


def _labelled(files: Sequence[Named], y: Sequence[Any], groups: Sequence[Any] | None) -> tuple[NDArray[Any], Manifest]:
    """Return the labels, sorted, and the pictures with theirs; of a bundle, classes are called by text.

    Raises:
        ConfigError, ValueError: as `RegraftClassifier.fit`.
    """
    classes, labels = _encoded(y)
    names = tuple(str(label) for label in classes.tolist())
    of_group = [None] * len(files) if groups is None else _named_groups(groups)
    for what, given in (("labels", labels), ("groups", of_group)):
        if len(given) != len(files):
            raise ConfigError(f"{len(files)} pictures and {len(given)} {what}. Expected one for each picture.")
    if len(names) < 2 or not all(names):
        count = f"{len(names)} class{'es' if len(names) > 1 else ''}"
        raise ConfigError(f"y has {count}: {', '.join(map(repr, names))}. Expected two or more, each with a name.")
    items = (
        Item(file.path, file.name, int(label), group)
        for file, label, group in zip(files, labels, of_group, strict=True)
    )
    return classes, Manifest(Path.cwd(), names, tuple(items))


def _named_groups(groups: Sequence[Any]) -> list[str | None]:
    """Return each group as text.

    Raises:
        ConfigError: one is missing: as a group of that name, pictures of several patients would be one's.
    """
    missing = sum(group is None or group != group for group in groups)  # NaN is not equal to itself
    if missing:
        raise ConfigError(f"{missing} of {len(groups)} pictures have no group. Give each one, or leave groups out.")
    return [str(group) for group in groups]


def _encoded(y: object) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the labels, sorted, and the index of each picture's."""
    if y is None:
        raise ConfigError("RegraftClassifier requires y to be passed, but the target y is None: give a label for each.")
    labels = column_or_1d(y, warn=True)
    check_classification_targets(labels)
    classes, indices = np.unique(labels, return_inverse=True)
    return classes, indices.astype(np.int64)


# ---- the model ------------------------------------------------------------------------------------------------------


def _learned(session: Session) -> tuple[Classifier, int]:
    """Train what the settings say, and return the model with the cut below which it is frozen.

    Raises:
        KeyboardInterrupt: Ctrl-C: a model that has not learned all it was to learn is none to search over.
    """
    loaded = load_network(session.config, named="backbone" in session.requested)
    plan = methods.plan(loaded.backbone, session.config)
    for notice in idle_options(plan, session.config, session.requested):
        session.progress.warn(notice)
    network = session.activate(loaded, [plan])
    session.augment(network, [plan])
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
        fitting = Fitting(session, network, plan, session.splits[0], session.config, Path(folder), session.progress)
        head, stopped = fitting.learner.learn(earlier=loaded.earlier_head)
        if stopped:
            raise KeyboardInterrupt(f"The training was {stopped}.")
        return fitting.classifier(head, None, mean_over_views(fitting.learner.probabilities(head, "val"))), plan.cut


def _answered(
    model: Classifier, cut: int, files: Sequence[Named], config: Config, progress: Progress
) -> NDArray[np.float64]:
    """Return the probabilities [n, classes]; what is frozen runs on pictures that it has not met.

    Raises:
        BadImage: a picture that cannot be read.
    """
    digests = read_digests([file.path for file in files])
    _refuse_bad(files, {at: found for at, found in enumerate(digests) if isinstance(found, BadImage)})
    pictures = Files([file.path for file in files], [str(one) for one in digests], model.backbone.preprocessing)
    own = model.of_training(pick_device(config.device))
    if own and (config.engine, config.precision) == ("auto", "auto"):
        config = replace(config, engine=own.engine, precision=own.precision)
    prefix = Prefix(model.backbone, pictures, Demand({cut: AGAIN}, len(files)), means_of(config), progress)
    _refuse_bad(files, prefix.plain())
    body = model.backbone.above(cut)
    examples = Examples(prefix.at(cut), np.zeros(len(files), np.int64), np.arange(len(files)))
    return tempered(predict(body, model.head, examples, device=prefix.device), model.temperature)


def _refuse_bad(files: Sequence[Named], bad: Mapping[int, BadImage]) -> None:
    for at, reason in bad.items():
        more = f" ({len(bad) - 1} more cannot)" if len(bad) > 1 else ""
        raise BadImage(f"{files[at].name} cannot be read: {reason}{more}. Leave it out of X.")


def _digest(model: Classifier) -> str:
    return digest_state(bundle.body_state(model.backbone))
