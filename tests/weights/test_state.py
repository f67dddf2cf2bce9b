import re

import pytest
import torch
from torch import Tensor

from regraft.backbones import Backbone, build
from regraft.errors import WeightsMismatch
from regraft.weights.state import digest_state, load_state

State = dict[str, Tensor]


def other_state(name: str = "squeezenet1_1") -> State:
    return build(name, seed=1).model.state_dict()


def equal(found: State, expected: State) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_every_tensor_arrives(squeezenet: Backbone) -> None:
    state = other_state()
    weights = load_state(squeezenet, state, origin="here", licence="MIT")
    assert equal(squeezenet.model.state_dict(), state)
    assert weights.has_classifier
    assert (weights.source, weights.licence, weights.preprocessing) == ("here", "MIT", squeezenet.preprocessing)


def test_half_precision_becomes_float32(squeezenet: Backbone) -> None:
    halves = {name: tensor.half() for name, tensor in other_state().items()}
    load_state(squeezenet, halves, origin="here")
    found = squeezenet.model.state_dict()
    assert all(found[name].dtype == torch.float32 and torch.equal(found[name], halves[name].float()) for name in halves)


def test_the_whole_classifier_may_be_absent(squeezenet: Backbone) -> None:
    body = {name: tensor for name, tensor in other_state().items() if not name.startswith("classifier.")}
    weights = load_state(squeezenet, body, origin="here")
    assert not weights.has_classifier
    assert all(torch.equal(squeezenet.model.state_dict()[name], body[name]) for name in body)


def test_batchnorm_s_counter_may_be_absent() -> None:
    state = {name: tensor for name, tensor in other_state("resnet18").items() if "num_batches" not in name}
    assert load_state(build("resnet18"), state, origin="here").has_classifier


def test_auxiliary_classifiers_may_be_absent_and_arrive_where_they_are_there() -> None:
    fresh, other = build("googlenet"), build("googlenet", seed=1)
    body = other.model.state_dict()
    sides = {
        f"{side.name}.{name}": tensor for side in other.auxiliaries for name, tensor in side.module.state_dict().items()
    }
    without = load_state(fresh, body, origin="here")
    assert load_state(fresh, body | sides, origin="here") == without  # they are no part of the network
    assert equal(fresh.model.state_dict(), body)
    for found, expected in zip(fresh.auxiliaries, other.auxiliaries, strict=True):
        assert equal(found.module.state_dict(), expected.module.state_dict())
    with pytest.raises(WeightsMismatch, match=r"1 of another shape \(aux2\.fc2\.weight"):
        load_state(fresh, body | sides | {"aux2.fc2.weight": torch.zeros(7, 1024)}, origin="here")
    with pytest.raises(WeightsMismatch, match=r"1 left over \(aux3\.fc2\.weight"):
        load_state(fresh, body | {"aux3.fc2.weight": torch.zeros(7, 1024)}, origin="here")


def drop(state: State) -> State:
    del state["features.3.squeeze.weight"]
    return state


def halve_classifier(state: State) -> State:
    del state["classifier.1.bias"]
    return state


def add(state: State) -> State:
    return state | {"features.99.weight": torch.zeros(1)}


def reshape(state: State) -> State:
    return state | {"classifier.1.weight": torch.zeros(7, 512, 1, 1)}


def poison(state: State) -> State:
    state["features.0.weight"][0, 0, 0, 0] = torch.nan
    return state


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (drop, "1 missing (features.3.squeeze.weight)"),
        (halve_classifier, "1 missing (classifier.1.bias)"),
        (add, "1 left over (features.99.weight)"),
        (reshape, "1 of another shape (classifier.1.weight [7, 512, 1, 1] instead of [1000, 512, 1, 1])"),
        (poison, "1 not finite (features.0.weight)"),
    ],
)
def test_anything_else_is_refused_by_name_and_changes_nothing(squeezenet: Backbone, damage, complaint: str) -> None:
    before = {name: tensor.clone() for name, tensor in squeezenet.model.state_dict().items()}
    with pytest.raises(WeightsMismatch, match=re.escape(f"tensors of squeezenet1_1: {complaint}")):
        load_state(squeezenet, damage(other_state()), origin="here")
    assert equal(squeezenet.model.state_dict(), before)


def test_another_network_s_tensors_are_counted_not_listed(squeezenet: Backbone) -> None:
    with pytest.raises(WeightsMismatch, match=r"50 missing \(features.0.weight, .*, …\); 122 left over") as caught:
        load_state(squeezenet, other_state("resnet18"), origin="here")
    assert "\n" not in str(caught.value)


def test_densenet_s_published_file_has_older_names() -> None:
    state = other_state("densenet121")
    older = {re.sub(r"(denselayer\d+\.[a-z]+)([12])", r"\1.\2", name): tensor for name, tensor in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in older
    backbone = build("densenet121")
    load_state(backbone, older, origin="here")
    assert equal(backbone.model.state_dict(), state)


def test_a_digest_names_the_numbers_and_nothing_else() -> None:
    state = other_state("resnet18")
    backwards = {name: state[name].clone() for name in reversed(state)}
    without_counters = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    changed = state | {"conv1.weight": state["conv1.weight"] + 1e-6}
    renamed = {name.replace("layer1", "layer9"): tensor for name, tensor in state.items()}
    assert digest_state(state) == digest_state(backwards) == digest_state(without_counters)
    assert len({digest_state(each) for each in (state, changed, renamed)}) == 3


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1).expand(10**6, 10**6),  # four bytes that claim to be 4 TB
        torch.ones(64, 3, 3, 3, dtype=torch.complex64),
        torch.ones(64, 3, 3, 3, dtype=torch.int8),
        torch.ones(64, 3, 3, 3).to_sparse(),
        torch.empty(64, 3, 3, 3, device="meta"),
    ],
    ids=["huge", "complex", "whole", "sparse", "nowhere"],
)
def test_tensors_that_are_no_plain_numbers_are_refused_before_any_is_looked_at(
    squeezenet: Backbone, tensor: torch.Tensor
) -> None:
    with pytest.raises(WeightsMismatch, match="of another"):
        load_state(squeezenet, other_state() | {"features.0.weight": tensor}, origin="here")
