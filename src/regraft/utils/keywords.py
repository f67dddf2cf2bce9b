"""The settings as keywords, for type checkers and editors: made from config.py by `make docs`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, TypedDict


class Reading(TypedDict, total=False):
    """The fields of `Config` that say how data are read."""

    groups: str | None
    path_column: str | None
    label_column: str | None
    split_column: str | None
    images: str | os.PathLike[str] | None
    label_pattern: str | None
    layout: Literal["auto", "parts", "classes"]


class Settings(Reading, total=False):
    """Any field of `Config`, by name."""

    backbone: str
    method: str
    weights: str | os.PathLike[str] | None
    from_run: str | os.PathLike[str] | None
    img_size: int | None
    fit: Literal["stretch", "crop"]
    unfreeze: str | int | None
    train_layers: int | None
    hidden: int
    dropout: float
    channels: str | int | Sequence[int] | None
    range: str | tuple[float, float] | None
    max_megapixels: int | None
    corrections: str | os.PathLike[str] | None
    val: float
    test: float
    folds: int | None
    split_from: str | os.PathLike[str] | None
    allow_bad: bool
    views: int | None
    augment: str | Sequence[str]
    tta: int
    preset: Literal["microscopy"] | None
    epochs: int | None
    batch_size: int
    lr: float | None
    tail_lr: float | None
    weight_decay: float
    label_smoothing: float
    mixup: float
    class_weights: Literal["auto", "on", "off"]
    patience: int
    seed: int
    positive: str | None
    target_recall: float | None
    target_precision: float | None
    target_specificity: float | None
    device: Literal["auto", "cpu", "cuda", "mps"]
    engine: Literal["auto", "onnxruntime", "openvino", "torch"]
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    logger: str | Sequence[str] | None
    keep: Literal["auto", "always", "never"]
    keep_dtype: Literal["float16", "float32"]
    cache_limit: float
