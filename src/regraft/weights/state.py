"""State dict -> backbone: strict in names, shapes and values, before a single number is written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from regraft.backbones import Backbone
from regraft.data.decode import Preprocessing
from regraft.errors import WeightsMismatch

# Published files that are older than their library's present names: family -> (pattern, replacement).
OLDER_NAMES = {
    "inception_v2": (re.compile(r"^fc\."), "last_linear."),
    "densenet": (re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"), r"\1\2"),
}
_COUNTER = "num_batches_tracked"  # BatchNorm's; older files lack it, and with a fixed momentum nothing reads it


@dataclass(frozen=True)
class WeightSet:
    """What was loaded into a backbone, for the bundle and for the key of kept activations."""

    source: str  # "torchvision:IMAGENET1K_V2", "file:/data/resnet50.pth", …; `load` accepts it again
    digest: str  # of the tensors, not of the file: float16 or a wrapper changes the file but not the network
    has_classifier: bool  # without it the backbone's classifier holds random numbers and must not be used
    licence: str
    preprocessing: Preprocessing


def load_state(
    backbone: Backbone,
    state: Mapping[str, Tensor],
    *,
    origin: str,
    licence: str = "unknown",
    preprocessing: Preprocessing | None = None,
) -> WeightSet:
    """Fill ``backbone.model`` in place; after an error it is as it was.

    The whole classifier may be absent, and so may auxiliary classifiers; floating point tensors of any width become
    float32.

    Raises:
        WeightsMismatch: a tensor is missing, left over, of another shape or not finite.
    """
    own, sides = backbone.model.state_dict(), auxiliary_state(backbone)
    head = classifier_names(backbone)
    named = {_current_name(backbone.family, name): tensor for name, tensor in state.items()}
    has_classifier = not head.isdisjoint(named)
    expected = {name: tensor for name, tensor in own.items() if has_classifier or name not in head}
    if found := misfits(expected, named, welcome=own | sides):
        raise WeightsMismatch(f"{origin} does not hold the {len(expected)} tensors of {backbone.name}: {found}.")
    given = {name: _widened(tensor) for name, tensor in named.items()}
    with torch.no_grad():
        for name in sides.keys() & given.keys():
            sides[name].copy_(given.pop(name))
    backbone.model.load_state_dict(given, strict=False)  # stricter than torch's check, which knows one kind of absence
    return WeightSet(origin, digest_state(given), has_classifier, licence, preprocessing or backbone.preprocessing)


def misfits(
    expected: Mapping[str, Tensor], given: Mapping[str, Tensor], *, welcome: Mapping[str, Tensor] | None = None
) -> str:
    """Say what keeps the given tensors from taking the place of those expected; nothing where they fit.

    Names, shapes and kinds of numbers are looked at before any number: a few bytes can claim to be a terabyte.
    `welcome` ones may be there or not.
    """
    known = {**(welcome or {}), **expected}
    problems = {
        "missing": [name for name in expected if name not in given and not name.endswith(_COUNTER)],
        "left over": [name for name in given if name not in known],
        "of another shape": [
            f"{name} {list(tensor.shape)} instead of {list(known[name].shape)}"
            for name, tensor in given.items()
            if name in known and tensor.shape != known[name].shape
        ],
        "of another kind of number": [
            f"{name} {tensor.dtype}"
            for name, tensor in given.items()
            if name in known and not _same_kind(tensor, known[name])
        ],
    }
    if not any(problems.values()):
        problems = {"not finite": [name for name, tensor in given.items() if not _is_finite(tensor)]}
    return "; ".join(f"{len(names)} {problem} ({_first(names)})" for problem, names in problems.items() if names)


def _same_kind(given: Tensor, known: Tensor) -> bool:
    """Say whether plain numbers in memory, real or whole as those expected, are given."""
    plain = given.layout == torch.strided and given.device.type == "cpu" and not given.is_quantized
    return plain and not given.is_complex() and given.is_floating_point() == known.is_floating_point()


def classifier_names(backbone: Backbone) -> set[str]:
    """The names in the model's state dict that belong to the classifier."""
    head = {id(tensor) for tensor in backbone.classifier.module.state_dict(keep_vars=True).values()}
    return {name for name, tensor in backbone.model.state_dict(keep_vars=True).items() if id(tensor) in head}


def auxiliary_state(backbone: Backbone) -> dict[str, Tensor]:
    """The tensors of the auxiliary classifiers themselves, under the names that files have for them."""
    return {
        f"{auxiliary.name}.{name}": tensor
        for auxiliary in backbone.auxiliaries
        for name, tensor in auxiliary.module.state_dict().items()
    }


def digest_state(state: Mapping[str, Tensor]) -> str:
    """Name the network that the tensors make: 32 hexadecimal digits, equal wherever the tensors came from."""
    total = blake2b(digest_size=16)
    for name in sorted(name for name in state if not name.endswith(_COUNTER)):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def _current_name(family: str, name: str) -> str:
    pattern, replacement = OLDER_NAMES.get(family, (None, ""))
    return pattern.sub(replacement, name) if pattern else name


def _widened(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.is_floating_point() else tensor


def _first(names: Iterable[str], count: int = 3) -> str:
    first = [name[:100] for name in names]  # a file may hold names of any length
    return ", ".join(first[:count]) + (", …" if len(first) > count else "")


def _is_finite(tensor: Tensor) -> bool:
    # the sum alone tells in nearly all cases, five times as fast; finite numbers may still add up to infinity
    tensor = _widened(tensor)
    return math.isfinite(tensor.sum()) or bool(torch.isfinite(tensor).all())
