"""What tests of exports share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from regraft.backbones import build
from regraft.data import Preprocessing
from regraft.inference.classifier import Classifier
from regraft.training.head import HeadSpec, build_head


def small_classifier(
    name: str = "squeezenet1_1", size: int = 32, classes: int = 3, hidden: int = 8, **more: Any
) -> Classifier:
    backbone = replace(build(name), preprocessing=Preprocessing(size=size, resize=size + 4))
    spec = HeadSpec(backbone.embedding_width, classes, hidden=hidden)
    return Classifier(backbone, build_head(spec).eval(), tuple("abcd"[:classes]), spec, temperature=0.5, **more)


@pytest.fixture(scope="session")
def small() -> Callable[..., Classifier]:
    """Makes networks with random weights, and a head for three classes."""
    return small_classifier


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """One of these; read only."""
    return small_classifier()
