"""Auxiliary classifiers: off the network when it is built, and where the library has them when it trains."""

import functools

import pytest
import torch
from torch import nn

from regraft.backbones import Backbone, PixelNorm, build, torchvision_compat

SIZES = {"googlenet": 64, "inception_v3": 299}


@functools.cache
def real(name: str) -> Backbone:
    return build(name)


def library_s_own(name: str) -> nn.Module:
    """The same network with the same numbers, as its library builds it for training."""
    backbone = real(name)
    if name == "googlenet":
        model = torchvision_compat.torchvision().models.googlenet(weights=None, aux_logits=True, init_weights=False)
    else:
        model = torchvision_compat.timm().create_model(name, aux_logits=True)
    sides = {
        f"{side.name}.{key}": tensor
        for side in backbone.auxiliaries
        for key, tensor in side.module.state_dict().items()
    }
    model.load_state_dict(backbone.model.state_dict() | sides)
    return model


def test_the_network_has_none_when_it_is_built() -> None:
    for name, names in (("googlenet", ["aux1", "aux2"]), ("inception_v3", ["AuxLogits"]), ("resnet18", [])):
        backbone = real(name)
        assert [side.name for side in backbone.auxiliaries] == names
        assert not any("aux" in key.lower() for key in backbone.model.state_dict())


@pytest.mark.parametrize("name", SIZES)
def test_each_reads_what_the_library_s_own_reads(name: str) -> None:
    backbone, own = real(name), library_s_own(name)
    pixels = torch.randint(0, 256, (2, SIZES[name], SIZES[name], 3), dtype=torch.uint8)
    x = PixelNorm(backbone.preprocessing)(pixels)
    read: dict[str, torch.Tensor] = {}
    for side in backbone.auxiliaries:
        own.get_submodule(side.name).register_forward_hook(
            lambda _, given, __, name=side.name: read.update({name: given[0].clone()})
        )
    with torch.no_grad():
        own.train()(x)
        for index, stage in enumerate(backbone.stages):
            x = stage.module.train()(x)
            for side in backbone.auxiliaries:
                if side.stage == index:
                    assert torch.equal(read.pop(side.name), x)
    assert not read
    real.cache_clear()  # its batch normalisation has moved


def test_a_classifier_for_other_classes_keeps_all_layers_but_the_last() -> None:
    side = real("googlenet").auxiliaries[0]
    before = torch.get_rng_state()
    first, second = (side.classifier(5, seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.inference_mode():
        assert first.eval()(torch.rand(2, 512, 14, 14)).shape == (2, 5)
    kept = {name: tensor for name, tensor in side.module.state_dict().items() if not name.startswith("fc2")}
    assert all(torch.equal(first.state_dict()[name], tensor) for name, tensor in kept.items())
    assert torch.equal(first.state_dict()["fc2.weight"], second.state_dict()["fc2.weight"])


def test_too_small_a_map_is_known_before() -> None:
    (side,) = real("inception_v3").auxiliaries
    for size, fits in ((299, True), (224, False)):
        assert side.takes(real("inception_v3").shapes(size)[side.stage]) == fits
