import torch
from torch import nn

from regraft.backbones.stages import parse


def tiny() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.MaxPool2d(2)),
        nn.Linear(4, 2),
    )


def stage_names(text: str) -> list[str]:
    return [stage.name for stage in parse(text, tiny())]


def test_a_stage_is_named_after_its_first_child_unless_it_has_a_name() -> None:
    assert stage_names("0[0:3] 0[3:5]") == ["0.0-2", "0.3-4"]
    assert stage_names("0[0:1]+0[1:5] head=@pool+@flatten+1") == ["0.0", "head"]
    assert stage_names("1") == ["1"]


def test_a_sequential_is_cut_after_every_child_of_a_type() -> None:
    model = tiny()
    first, second = parse("block*=0/MaxPool2d", model)
    assert (first.name, second.name) == ("block1", "block2")
    assert [type(child) for child in second.module.children()] == [nn.Conv2d, nn.MaxPool2d]
    x = torch.randn(1, 3, 20, 20)
    assert torch.equal(second.module(first.module(x)), model[0](x))


def test_functions_stand_for_what_forward_does_without_a_module() -> None:
    (head,) = parse("@relu+@pool+@flatten+1", tiny())
    x = torch.randn(2, 4, 5, 5)
    assert head.name == "relu"
    assert head.module(x).shape == (2, 2)
