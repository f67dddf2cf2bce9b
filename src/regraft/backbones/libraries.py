"""Library x name -> architecture and the preprocessing of its published weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from regraft.backbones import torchvision_compat
from regraft.backbones.families import find, library_members
from regraft.backbones.inception_v2 import InceptionV2
from regraft.data.decode import Preprocessing
from regraft.errors import UnknownName


@dataclass(frozen=True)
class Library:
    """What a library of architectures has to answer."""

    create: Callable[..., nn.Module]  # name, options -> with random weights
    tags: Callable[[str], list[str]]  # the sets of weights published for a name, the default one first
    record: Callable[[str, str], Any]  # name x tag -> the library's own record of such a set
    preprocessing: Callable[[Any], Preprocessing]  # of such a record


def _create_torchvision(name: str, **options: Any) -> nn.Module:
    return torchvision_compat.torchvision().models.get_model(name, weights=None, **options)  # type: ignore[no-any-return]


def _tags_torchvision(name: str) -> list[str]:
    weights = torchvision_compat.torchvision().models.get_model_weights(name)
    return sorted((entry.name for entry in weights), key=lambda tag: tag != weights.DEFAULT.name)


def _record_torchvision(name: str, tag: str) -> Any:
    return torchvision_compat.torchvision().models.get_model_weights(name)[tag]


# Their networks were trained on pixels from -1 to 1: with published weights torchvision builds them with
# ``transform_input``, which undoes ImageNet's mean and deviation inside forward(). Here the pixels come right at once.
_REBASED = ("GoogLeNet_Weights", "Inception_V3_Weights")


def _preprocessing_torchvision(weights: Any) -> Preprocessing:
    preset = weights.transforms()
    rebased = type(weights).__name__ in _REBASED
    return Preprocessing(
        size=preset.crop_size[0],
        resize=preset.resize_size[0],
        interpolation=preset.interpolation.value,
        mean=(0.5, 0.5, 0.5) if rebased else tuple(preset.mean),
        std=(0.5, 0.5, 0.5) if rebased else tuple(preset.std),
    )


def _create_timm(name: str, **options: Any) -> nn.Module:
    return torchvision_compat.timm().create_model(name, pretrained=False, **options)  # type: ignore[no-any-return]


def _tags_timm(name: str) -> list[str]:
    default = torchvision_compat.timm().get_pretrained_cfg(name).tag  # "untrained" where there is no set
    tags = [full.partition(".")[2] for full in torchvision_compat.timm().list_pretrained(f"{name}.*")]
    return sorted(tags, key=lambda tag: tag != default)


def _record_timm(name: str, tag: str) -> Any:
    return torchvision_compat.timm().get_pretrained_cfg(f"{name}.{tag}" if tag else name)


def _preprocessing_timm(weights: Any) -> Preprocessing:
    size = weights.input_size[-1]
    return Preprocessing(
        size=size,
        resize=int(size / weights.crop_pct),  # rounded down, as timm does
        interpolation=weights.interpolation,
        mean=weights.mean,
        std=weights.std,
    )


# Networks that no maintained library has; ``weights.sources.regraft`` says which file fills them.
_OWN: dict[str, tuple[Callable[..., nn.Module], Preprocessing]] = {
    "inception_v2": (
        InceptionV2,
        Preprocessing(mean=(104.0, 117.0, 128.0), std=(1.0, 1.0, 1.0), scale=255.0, channels="BGR"),  # as in Caffe
    )
}

LIBRARIES = {
    "torchvision": Library(_create_torchvision, _tags_torchvision, _record_torchvision, _preprocessing_torchvision),
    "timm": Library(_create_timm, _tags_timm, _record_timm, _preprocessing_timm),
    "regraft": Library(
        lambda name: _OWN[name][0](), lambda name: [], lambda name, tag: name, lambda name: _OWN[name][1]
    ),
}


@dataclass(frozen=True)
class Published:
    """A set of weights that a library publishes, or only the preprocessing that it names for an architecture."""

    tag: str  # empty: the library publishes no weights of this network
    record: Any  # torchvision: a member of the weights enum; timm: a PretrainedCfg; our own: the name
    preprocessing: Preprocessing


def published(library: str, name: str, tag: str = "") -> Published:
    """The record of a set of weights; without a tag, of the library's default set, if there is any.

    Raises:
        UnknownName: lists the tags, or the library's backbones.
    """
    functions = LIBRARIES[library]
    if find(name)[1].library != library:
        raise UnknownName(f"{library} backbone", name, library_members(library))
    tags = functions.tags(name)
    if tag and tag not in tags:
        raise UnknownName(f"{library} weights of {name}", tag, tags)
    tag = tag or next(iter(tags), "")
    record = functions.record(name, tag)
    return Published(tag, record, functions.preprocessing(record))
