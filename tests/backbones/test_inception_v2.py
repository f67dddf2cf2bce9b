import pytest
import torch

from regraft.backbones import build
from regraft.backbones.inception_v2 import BLOCKS, InceptionV2

# from the paper's table and the Caffe network: the channels that each block gives
CHANNELS = {
    "inception_3a": 256,
    "inception_3b": 320,
    "inception_3c": 576,
    "inception_4a": 576,
    "inception_4b": 576,
    "inception_4c": 608,
    "inception_4d": 608,
    "inception_4e": 1056,
    "inception_5a": 1024,
    "inception_5b": 1024,
}


@pytest.fixture(scope="module")
def network() -> InceptionV2:
    network = build("inception_v2").model
    assert isinstance(network, InceptionV2)
    return network


def test_blocks_give_the_published_channels(network: InceptionV2) -> None:
    assert {name: network.parts[name].channels for name in BLOCKS} == CHANNELS


def test_layers_have_the_names_of_the_published_file(network: InceptionV2) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["conv1_7x7_s2.weight"] == (64, 3, 7, 7)
    assert shapes["conv1_7x7_s2_bn.running_var"] == shapes["conv2_3x3_reduce.bias"] == (64,)
    assert shapes["conv2_3x3.weight"] == (192, 64, 3, 3)
    assert shapes["inception_3a_1x1.weight"] == (64, 192, 1, 1)
    assert shapes["inception_3c_3x3.weight"] == (160, 128, 3, 3)
    assert shapes["inception_4e_double_3x3_reduce.weight"] == (192, 608, 1, 1)
    assert shapes["inception_4e_double_3x3_2.weight"] == (256, 256, 3, 3)
    assert shapes["inception_5b_pool_proj.weight"] == (128, 1024, 1, 1)
    assert shapes["last_linear.weight"] == (1000, 1024)
    assert not {"inception_3c_1x1.weight", "inception_4e_pool_proj.weight"} & shapes.keys()
    assert len([name for name in shapes if name.endswith("_bn.weight")]) == 69  # one for every convolution
    assert not any(name.count(".") != 1 for name in shapes)  # all on one level


@pytest.mark.parametrize("side", [14, 15])
def test_a_halving_block_halves_maps_of_even_and_odd_side(network: InceptionV2, side: int) -> None:
    x = torch.rand(1, 320, side, side)
    with torch.inference_mode():
        halved = network.parts["inception_3c"](x)
    assert halved.shape == (1, 576, (side + 1) // 2, (side + 1) // 2)
    if side == 14:  # as in Caffe, whose pool rounds up
        torch.testing.assert_close(halved[:, -320:], torch.nn.MaxPool2d(3, 2, ceil_mode=True)(x))
