"""What holds for every row of the table, and so for every family that is added to it."""

import functools

import pytest
import torch

from regraft.backbones import FAMILIES, Backbone, PixelNorm, build, names
from regraft.backbones.families import ALIASES
from regraft.data.decode import Preprocessing

SIZE = 64  # px; 32 times two: the last stage still sees more than one place
SMALLEST = [family.members[0] for family in FAMILIES]  # one real network a row; the others as shapes only


@functools.cache
def real(name: str) -> Backbone:
    return build(name)


@functools.cache
def outline(name: str) -> Backbone:
    """The network without numbers: a fraction of a second and no memory, even for VGG19."""
    with torch.device("meta"):
        return build(name)


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randint(0, 256, (1, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [*SMALLEST, "vgg11_bn", "resnet50"])
def test_prefix_then_tail_equals_the_model_at_every_cut(name: str, pixels: torch.Tensor) -> None:
    backbone = real(name)
    with torch.inference_mode():
        expected = backbone.model(PixelNorm(backbone.preprocessing)(pixels))  # [1, 1000]
        for cut in range(len(backbone.stages)):
            kept = backbone.prefix(cut)(pixels)
            assert torch.equal(backbone.classifier.module(backbone.tail(cut)(kept)), expected)


@pytest.mark.parametrize("name", SMALLEST)
def test_the_last_prefix_pools_the_last_feature_map(name: str, pixels: torch.Tensor) -> None:
    backbone, last = real(name), len(real(name).stages)
    with torch.inference_mode():
        features = backbone.tail(0)(backbone.prefix(0)(pixels))  # [1, width, h, w]
        embedding = backbone.prefix(last)(pixels)  # [1, 2 width]
        torch.testing.assert_close(embedding[:, : backbone.width], features.mean(dim=(2, 3)))
        assert torch.equal(embedding[:, backbone.width :], features.amax(dim=(2, 3)))
        assert embedding.shape[1] == backbone.embedding_width
        assert torch.equal(backbone.tail(last)(embedding), embedding)


@pytest.mark.parametrize("name", SMALLEST)
def test_a_tail_leaves_the_kept_activations_as_they_were(name: str, pixels: torch.Tensor) -> None:
    backbone = real(name)
    with torch.no_grad():
        for cut in range(len(backbone.stages)):
            kept = backbone.prefix(cut)(pixels)
            before = kept.clone()
            backbone.tail(cut)(kept)  # an in-place ReLU at its start would change what the next epoch reads
            assert torch.equal(kept, before)


@pytest.mark.parametrize("name", SMALLEST)
def test_stages_give_the_announced_shapes(name: str, pixels: torch.Tensor) -> None:
    backbone, announced = real(name), real(name).shapes(SIZE)
    with torch.inference_mode():
        x = backbone.prefix(0)(pixels)
        for stage, shape in zip(backbone.stages, announced, strict=True):
            x = stage.module(x)
            assert tuple(x.shape[1:]) == shape


@pytest.mark.parametrize("name", names())
def test_every_parameter_belongs_to_one_stage(name: str) -> None:
    backbone = outline(name)
    parts = [*backbone.stages, backbone.classifier]
    for kind in (torch.nn.Module.parameters, torch.nn.Module.buffers):
        owned = [id(tensor) for stage in parts for tensor in kind(stage.module)]
        assert sorted(owned) == sorted(id(tensor) for tensor in kind(backbone.model))
    assert sum(stage.parameter_count for stage in parts) == sum(p.numel() for p in backbone.model.parameters())


@pytest.mark.parametrize("name", names())
def test_stages_are_few_distinct_and_shrink_the_picture(name: str) -> None:
    backbone = outline(name)
    shapes = backbone.shapes(backbone.preprocessing.size)
    assert 4 <= len(backbone.stages) <= 7
    assert len({stage.name for stage in backbone.stages}) == len(backbone.stages)
    assert [height for _, height, _ in shapes] == sorted((height for _, height, _ in shapes), reverse=True)
    assert backbone.width == shapes[-1][0]


@pytest.mark.parametrize("name", names())
def test_every_backbone_knows_its_preprocessing(name: str) -> None:
    preprocessing = outline(name).preprocessing
    assert isinstance(preprocessing, Preprocessing)
    assert 224 <= preprocessing.size <= preprocessing.resize


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_builds_what_it_stands_for(alias: str) -> None:
    assert outline(alias).name == ALIASES[alias]
    assert alias not in names()
