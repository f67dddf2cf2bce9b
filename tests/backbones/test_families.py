"""What holds for every row of the table, and so for every family that is added to it."""

import functools

import pytest
import torch

from regraft.backbones import FAMILIES, Backbone, PixelNorm, build, names
from regraft.backbones.families import ALIASES
from regraft.data.decode import Preprocessing

SMALLEST = [family.members[0] for family in FAMILIES]  # one real network a row; the others as shapes only
LEAST = {"inception_v3": 96, "inception_resnet_v2": 96}  # px; below, nothing is left for their last layers
ONE_TENSOR_BETWEEN_STAGES = {"nasnetalarge": 2, "pnasnet5large": 2}  # stages: their cells read two

# Parameters with the head for 1000 classes, without auxiliary heads, as published: torchvision's num_params, timm's
# tables of results and, for Inception v2, pretrainedmodels.
PARAMETERS = {
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnetv2_50": 25_549_352,
    "resnetv2_101": 44_541_480,
    "resnetv2_152": 60_185_128,
    "densenet121": 7_978_856,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "googlenet": 6_624_904,
    "inception_v2": 11_295_240,
    "inception_v3": 23_834_568,
    "inception_resnet_v2": 55_843_464,
    "legacy_xception": 22_855_952,
    "mobilenetv1_100": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "nasnetalarge": 88_753_150,
    "pnasnet5large": 86_057_668,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "convnext_tiny": 28_589_128,
    "convnext_small": 50_223_688,
    "convnext_base": 88_591_464,
    "convnext_large": 197_767_336,
}


def size_of(name: str) -> int:
    return LEAST.get(name, 64)  # 32 times two: the last stage still sees more than one place


@functools.cache
def real(name: str) -> Backbone:
    return build(name)


@functools.cache
def outline(name: str) -> Backbone:
    """The network without numbers: a fraction of a second and no memory, even for VGG19."""
    with torch.device("meta"):
        return build(name)


def pixels_for(name: str) -> torch.Tensor:
    size = size_of(name)
    return torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [*SMALLEST, "vgg11_bn", "resnet50"])
def test_prefix_then_tail_equals_the_model_at_every_cut(name: str) -> None:
    backbone, pixels = real(name), pixels_for(name)
    with torch.inference_mode():
        expected = backbone.model(PixelNorm(backbone.preprocessing)(pixels))  # [1, 1000]
        for cut in range(len(backbone.stages)):
            kept = backbone.prefix(cut)(pixels)
            assert torch.equal(backbone.classifier.module(backbone.tail(cut)(kept)), expected)


@pytest.mark.parametrize("name", SMALLEST)
def test_the_last_prefix_pools_the_last_feature_map(name: str) -> None:
    backbone, pixels, last = real(name), pixels_for(name), len(real(name).stages)
    with torch.inference_mode():
        features = backbone.tail(0)(backbone.prefix(0)(pixels))  # [1, width, h, w]
        embedding = backbone.prefix(last)(pixels)  # [1, 2 width]
        torch.testing.assert_close(embedding[:, : backbone.width], features.mean(dim=(2, 3)))
        assert torch.equal(embedding[:, backbone.width :], features.amax(dim=(2, 3)))
        assert embedding.shape[1] == backbone.embedding_width
        assert torch.equal(backbone.tail(last)(embedding), embedding)


@pytest.mark.parametrize("name", SMALLEST)
def test_a_tail_leaves_the_kept_activations_as_they_were(name: str) -> None:
    backbone, pixels = real(name), pixels_for(name)
    with torch.no_grad():
        for cut in range(len(backbone.stages)):
            kept = backbone.prefix(cut)(pixels)
            before = kept.clone()
            backbone.tail(cut)(kept)  # an in-place ReLU at its start would change what the next epoch reads
            assert torch.equal(kept, before)


@pytest.mark.parametrize("name", SMALLEST)
def test_stages_give_the_announced_shapes(name: str) -> None:
    backbone, announced = real(name), real(name).shapes(size_of(name))
    with torch.inference_mode():
        x = backbone.prefix(0)(pixels_for(name))
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


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_network_has_its_published_number_of_parameters(name: str) -> None:
    assert sum(parameter.numel() for parameter in outline(name).model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", names())
def test_stages_are_few_distinct_and_shrink_the_picture(name: str) -> None:
    backbone = outline(name)
    shapes = backbone.shapes(backbone.preprocessing.size)
    least = ONE_TENSOR_BETWEEN_STAGES.get(name, 4)
    assert least <= len(backbone.stages) <= 7
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


def test_googlenet_s_pixels_come_as_its_published_weights_want_them() -> None:
    """torchvision states ImageNet's mean and deviation, and undoes them inside the network (``transform_input``)."""
    from regraft.backbones import torchvision_compat

    backbone, pixels = real("googlenet"), pixels_for("googlenet")
    published = Preprocessing()  # what torchvision states
    transforming = torchvision_compat.torchvision().models.googlenet(
        weights=None, aux_logits=False, init_weights=False, transform_input=True
    )
    transforming.load_state_dict(backbone.model.state_dict())
    with torch.inference_mode():
        expected = transforming.eval()(PixelNorm(published)(pixels))
        found = backbone.classifier.module(backbone.tail(0)(backbone.prefix(0)(pixels)))
    torch.testing.assert_close(found, expected)
