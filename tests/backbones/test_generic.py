"""Networks outside the table: cut where it is exact, refused where it is not."""

import functools

import pytest
import torch
from torch import Tensor, nn

from regraft.backbones import Backbone, PixelNorm, build
from regraft.backbones.families import Family
from regraft.backbones.generic import row_of
from regraft.errors import ConfigError, UnknownName

TINY = Family("tiny", "timm", ("tiny",), stages="", classifier="")


class Plain(nn.Module):
    """Convolutions, pool and a dense layer, one after the other, and perhaps something between that has no module."""

    def __init__(self, between=None, classifier=nn.Linear) -> None:
        super().__init__()
        self.conv1, self.conv2, self.avgpool = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 8, 3, 2), nn.AdaptiveAvgPool2d(1)
        self.fc, self.between = classifier(8, 5), between

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.conv2(self.between(x) if self.between else x)
        return self.fc(self.avgpool(x).flatten(1))


def silent(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
    return layer


@functools.cache
def real(name: str) -> Backbone:
    return build(name)


def test_layers_become_stages_where_the_map_shrinks() -> None:
    row = row_of(TINY, Plain().eval(), 64)
    assert (row.stages, row.classifier) == ("conv1=conv1 conv2=conv2", "avgpool+@flatten+fc")


def test_what_the_layers_alone_do_not_give_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tiny \(timm\) cannot be cut.*do not give what it gives.*resnet50"):
        row_of(TINY, Plain(between=torch.relu).eval(), 64)


def test_a_classifier_of_zeros_hides_nothing() -> None:
    network = Plain(between=torch.relu, classifier=silent).eval()
    with pytest.raises(ConfigError, match="do not give what it gives"):
        row_of(TINY, network, 64)
    assert not network.fc.weight.any()  # the network itself stays as it was


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "shufflenet_v2_x0_5", "alexnet"])
def test_prefix_then_tail_equals_the_model_at_every_cut(name: str) -> None:
    backbone = real(name)
    pixels = torch.randint(0, 256, (1, 96, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = backbone.model(PixelNorm(backbone.preprocessing)(pixels))
        for cut in range(len(backbone.stages)):
            kept = backbone.prefix(cut)(pixels)
            assert torch.equal(backbone.classifier.module(backbone.tail(cut)(kept)), expected)
    assert 4 <= len(backbone.stages) <= 5
    parts = [*backbone.stages, backbone.classifier]
    owned = [id(parameter) for part in parts for parameter in part.module.parameters()]
    assert sorted(owned) == sorted(id(parameter) for parameter in backbone.model.parameters())


def test_building_one_leaves_the_random_state_of_torch() -> None:
    before = torch.get_rng_state()
    build("test_resnet")
    assert torch.equal(torch.get_rng_state(), before)


def test_its_preprocessing_is_the_published_one() -> None:
    assert (real("test_resnet").preprocessing.size, real("alexnet").preprocessing.resize) == (160, 256)


@pytest.mark.parametrize("name", ["test_vit", "test_vit2"])
def test_a_transformer_is_refused_in_plain_words(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} \(timm\) cannot be cut .*no feature map"):
        build(name)


def test_a_misspelt_name_is_answered_from_the_table() -> None:
    with pytest.raises(
        UnknownName, match=r"Did you mean resnet50.*Any other classifier of timm or torchvision"
    ) as caught:
        build("resnet5O")
    assert len(caught.value.known) < 100
