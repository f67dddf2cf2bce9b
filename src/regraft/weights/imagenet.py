"""Name the 1000 ImageNet classes, in the order of every published classifier."""

from __future__ import annotations

import functools
import importlib

from regraft.backbones import torchvision_compat


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """WordNet's identifier and first name of every class: ``("n02504013", "Indian_elephant")`` is number 385."""
    torchvision_compat.timm()
    info = importlib.import_module("timm.data").ImageNetInfo()
    labels = [info.index_to_label_name(index) for index in range(info.num_classes())]
    return tuple((label, _first_name(info.label_name_to_description(label))) for label in labels)


def _first_name(description: str) -> str:
    return description.split(",")[0].replace(" ", "_")
