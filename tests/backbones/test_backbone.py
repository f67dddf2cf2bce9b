import numpy as np
import pytest
import torch

from regraft.backbones import Backbone, GlobalPool, PixelNorm, build
from regraft.data.decode import Preprocessing
from regraft.errors import ConfigError, UnknownName


@pytest.fixture(scope="module")
def resnet18() -> Backbone:
    return build("resnet18")


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(),
        Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        Preprocessing(mean=(104, 117, 128), std=(1, 1, 1), scale=255, channels="BGR"),
    ],
)
def test_pixels_are_normalised_as_the_network_was_trained(preprocessing: Preprocessing) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    x = pixels.astype(np.float64) / 255 * preprocessing.scale
    x = x[..., ::-1] if preprocessing.channels == "BGR" else x
    expected = ((x - preprocessing.mean) / preprocessing.std).transpose(0, 3, 1, 2)
    found = PixelNorm(preprocessing)(torch.from_numpy(pixels))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_pooling_takes_the_mean_and_the_maximum_of_every_channel() -> None:
    maps = torch.arange(24.0).view(1, 2, 3, 4)
    torch.testing.assert_close(GlobalPool()(maps), torch.tensor([[5.5, 17.5, 11.0, 23.0]]))


def test_the_normalisation_is_no_part_of_the_weights() -> None:
    assert not PixelNorm(Preprocessing()).state_dict()


def test_a_prefix_never_moves_batchnorm_even_when_the_model_trains(resnet18: Backbone) -> None:
    resnet18.model.train()
    prefix, tail = resnet18.prefix(3), resnet18.tail(3)
    before = {name: tensor.clone() for name, tensor in prefix.state_dict().items()}
    prefix(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))
    assert all(torch.equal(tensor, before[name]) for name, tensor in prefix.state_dict().items())
    assert not any(module.training for module in prefix.modules())
    assert all(module.training for module in tail.modules())
    resnet18.model.eval()


def test_prefix_and_tail_share_the_parameters_of_the_model(resnet18: Backbone) -> None:
    shared = {id(parameter) for parameter in resnet18.model.parameters()}
    for part in (resnet18.prefix(2), resnet18.tail(2)):
        assert shared.issuperset(id(parameter) for parameter in part.parameters())


@pytest.mark.parametrize(
    ("unfreeze", "cut"),
    [("all", 0), ("conv1", 0), ("layer3", 3), ("layer4", 4), ("0", 5), ("1", 4), ("2", 3), ("5", 0)],
)
def test_a_cut_lies_below_what_is_unfrozen(resnet18: Backbone, unfreeze: str, cut: int) -> None:
    assert resnet18.cut_of(unfreeze) == cut


@pytest.mark.parametrize("unfreeze", ["layer5", "6", "-1", ""])
def test_an_unknown_stage_lists_the_stages(resnet18: Backbone, unfreeze: str) -> None:
    with pytest.raises(UnknownName, match=r"conv1, layer1, layer2, layer3, layer4.*0 to 5"):
        resnet18.cut_of(unfreeze)


def test_a_cut_lies_above_the_stage_that_is_asked_for(resnet18: Backbone) -> None:
    assert [resnet18.cut_above(stage.name) for stage in resnet18.stages] == [1, 2, 3, 4, 5]
    with pytest.raises(UnknownName, match=r"'layer5'.*Did you mean layer.*conv1, layer1, layer2, layer3, layer4"):
        resnet18.cut_above("layer5")


def test_another_size_keeps_the_share_that_a_crop_sees_and_stretching_sees_all(resnet18: Backbone) -> None:
    crop, stretch = (resnet18.sized(112, fit).preprocessing for fit in ("crop", "stretch"))
    assert (crop.size, crop.resize, crop.fit) == (112, 128, "crop")  # as 224 of 256
    assert (stretch.size, stretch.resize, stretch.fit) == (112, 112, "stretch")
    assert resnet18.sized(None, "crop").preprocessing == resnet18.preprocessing


def test_the_tail_names_its_stages() -> None:
    tail = build("mobilenet_v2").tail(3)
    assert [name for name, _ in tail.named_children()] == ["features_7-13", "features_14-18"]


def test_the_same_seed_draws_the_same_weights_and_leaves_torch_s_own_state() -> None:
    before = torch.get_rng_state()
    first, second, other = (build("squeezenet1_1", seed=seed).model.state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_too_small_a_picture_is_refused_in_plain_words() -> None:
    with torch.device("meta"):
        vgg11 = build("vgg11")
    with pytest.raises(ConfigError, match="16 px is too small for vgg11"):
        vgg11.shapes(16)


def test_a_misspelt_backbone_is_not_replaced_but_named() -> None:
    with pytest.raises(UnknownName, match="Did you mean resnet50"):
        build("resnet5O")
