"""A bundle answers as the model that was saved, or says what is wrong with it."""

from __future__ import annotations

import json
import os
import pickletools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from regraft.backbones import build
from regraft.data import Preprocessing, Tta
from regraft.errors import BundleError, ChecksumMismatch, RegraftError
from regraft.inference import bundle
from regraft.inference.classifier import Classifier
from regraft.training.head import HeadSpec, build_head
from regraft.utils import files
from regraft.weights.loading import load

CLASSES = ("1", "2", "10", "größer")  # natural order; JSON and folders would sort "10" before "2"
LOOK = Preprocessing(size=64, resize=70, interpolation="bicubic", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def classifier() -> Classifier:
    backbone = replace(build("resnet18"), preprocessing=LOOK)
    load(backbone, "random", seed=5)
    spec = HeadSpec(backbone.embedding_width, len(CLASSES), hidden=8)
    head = build_head(spec, seed=5).eval()
    head.standardize.set([torch.randn(10, backbone.embedding_width, generator=torch.Generator().manual_seed(0))])
    about = {"method": "frozen", "trained": ["head"], "lineage": [{"weights": "random:5"}], "secret": "/home/me"}
    return Classifier(backbone, head, CLASSES, spec, about)


@pytest.fixture(scope="module")
def original() -> Classifier:
    return classifier()


@pytest.fixture
def folder(original: Classifier, tmp_path: Path) -> Path:
    bundle.save(tmp_path / "model", original)
    return tmp_path / "model"


def pictures(shapes: Path) -> list[Path]:
    return sorted(shapes.rglob("*.png"))[::8]


def answers(model: Classifier, shapes: Path) -> np.ndarray:
    return np.stack([answer.probabilities for answer in model.predict(pictures(shapes), engine="torch")])  # type: ignore[misc]


def test_a_bundle_answers_exactly_as_the_model_did(folder: Path, original: Classifier, shapes: Path) -> None:
    loaded = bundle.load(folder)
    np.testing.assert_array_equal(answers(loaded, shapes), answers(original, shapes))
    assert loaded.classes == CLASSES
    assert loaded.spec == original.spec
    assert loaded.backbone.preprocessing == LOOK
    assert not loaded.head.training


def test_a_run_s_folder_stands_for_the_bundle_in_it(folder: Path) -> None:
    assert bundle.folder_of(folder.parent) == folder == bundle.folder_of(folder)
    assert bundle.load(folder.parent).classes == CLASSES


def test_a_bundle_is_two_files_and_the_same_model_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "model.safetensors"]
    bundle.save(tmp_path / "again", classifier())
    bundle.save(tmp_path / "loaded", bundle.load(folder))
    for name in (bundle.TENSORS, bundle.ABOUT):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
        assert (folder / name).read_bytes() == (tmp_path / "loaded" / name).read_bytes()


def test_the_temperature_is_kept_and_bundles_without_one_have_1(folder: Path, original: Classifier) -> None:
    bundle.save(folder, replace(original, temperature=0.4))
    assert bundle.load(folder).temperature == 0.4
    about = json.loads((folder / bundle.ABOUT).read_text(encoding="utf-8"))
    del about["temperature"]
    about["sha256"] = bundle.digest_of(files.sha256(folder / bundle.TENSORS), about)
    (folder / bundle.ABOUT).write_text(json.dumps(about), encoding="utf-8")
    assert bundle.load(folder).temperature == 1


def test_class_weights_are_kept_and_an_older_regraft_refuses_to_answer_past_them(
    folder: Path, original: Classifier
) -> None:
    weights = tuple(1.0 + number for number in range(len(CLASSES)))
    bundle.save(folder, replace(original, class_weights=weights))
    found = bundle.load(folder)
    assert found.class_weights == weights
    assert json.loads((folder / bundle.ABOUT).read_text(encoding="utf-8"))["format"] == 3
    even = np.full((1, len(CLASSES)), 1 / len(CLASSES))
    assert found.answers(even) == found.ranking(even[0])[0] == len(CLASSES) - 1
    assert original.answers(even) == 0


def test_the_views_of_test_time_augmentation_are_kept_and_an_older_regraft_refuses_to_look_once(
    folder: Path, original: Classifier, shapes: Path
) -> None:
    assert bundle.load(folder).tta == Tta()
    model = replace(original, tta=Tta(4, ("flip", "turn")))
    bundle.save(folder, model)
    assert json.loads((folder / "bundle.json").read_bytes())["format"] == 4
    loaded = bundle.load(folder)
    assert loaded.tta == model.tta
    np.testing.assert_array_equal(answers(loaded, shapes), answers(model, shapes))
    assert not np.allclose(answers(loaded, shapes), answers(original, shapes), atol=1e-6)


def test_a_bundle_says_nothing_of_the_machine_it_was_made_on(folder: Path) -> None:
    text = (folder / bundle.ABOUT).read_text(encoding="utf-8")
    assert "/home" not in text
    assert str(folder) not in text
    assert list(json.loads(text)["classes"]) == list(CLASSES)
    assert "größer" in text  # for people to read


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_whoever_may_read_one_file_of_a_bundle_may_read_the_other(folder: Path) -> None:
    (folder.parent / "any file").touch()
    modes = {path.stat().st_mode for path in (*folder.iterdir(), folder.parent / "any file")}
    assert len(modes) == 1


def test_a_bundle_holds_no_code(folder: Path) -> None:
    for path in folder.iterdir():
        with pytest.raises(ValueError, match=r"opcode|pickle"):  # no pickle, which could run anything when it is opened
            list(pickletools.genops(path.read_bytes()))


def test_the_imagenet_head_is_left_out(folder: Path) -> None:
    names = bundle.load_tensors((folder / bundle.TENSORS).read_bytes())
    assert not [name for name in names if name.startswith("backbone.fc")]
    assert {name.split(".")[0] for name in names} == {"backbone", "head"}


def test_saving_again_replaces_the_bundle_whole(folder: Path, original: Classifier) -> None:
    (folder / "left over").write_text("from before")
    bundle.save(folder, replace(original, classes=("a", "b", "c", "d")))
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "model.safetensors"]
    assert bundle.load(folder).classes == ("a", "b", "c", "d")
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


# ---- what is wrong with it ------------------------------------------------------------------------------------------


def change_a_byte(position: float) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        content = bytearray((folder / bundle.TENSORS).read_bytes())
        content[int(position * (len(content) - 1))] ^= 1
        (folder / bundle.TENSORS).write_bytes(content)

    return harm


def cut_short(folder: Path) -> None:
    (folder / bundle.TENSORS).write_bytes((folder / bundle.TENSORS).read_bytes()[:-1])


@pytest.mark.parametrize("harm", [change_a_byte(0), change_a_byte(0.5), change_a_byte(1), cut_short])
def test_changed_tensors_are_noticed(folder: Path, harm: Callable[[Path], None]) -> None:
    harm(folder)
    with pytest.raises(ChecksumMismatch, match="Copy the whole folder again"):
        bundle.load(folder)


def edit(folder: Path, **values: object) -> None:
    about = json.loads((folder / bundle.ABOUT).read_text(encoding="utf-8"))
    about |= values
    (folder / bundle.ABOUT).write_text(json.dumps(about), encoding="utf-8")


def test_a_newer_format_says_to_update(folder: Path) -> None:
    edit(folder, format=bundle.FORMAT + 1)
    with pytest.raises(BundleError, match="pip install --upgrade regraft"):
        bundle.load(folder)


@pytest.mark.parametrize("name", [bundle.TENSORS, bundle.ABOUT])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        bundle.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "one"}', '{"format": 1}', "null"])
def test_a_damaged_description_is_one_clear_line(folder: Path, text: str) -> None:
    (folder / bundle.ABOUT).write_text(text)
    with pytest.raises((BundleError, ChecksumMismatch), match=bundle.ABOUT) as caught:
        bundle.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"head": {"width": 1024, "classes": 4, "hidden": 9}},
        {"head": {"wide": 512}},
        {"head": None},
        {"preprocessing": {"size": 64}},
        {"preprocessing": {**LOOK.as_dict(), "size": 71}},
        {"backbone": "squeezenet1_1"},
        {"backbone": "resnet180"},
        {"temperature": 2.0},
        {"classes": ["1", "2"]},
        {"classes": ["1", "10", "2", "größer"]},
        {"preprocessing": {**LOOK.as_dict(), "mean": [0.5, 0.4, 0.4]}},
    ],
    ids=str,
)
def test_an_edited_description_never_gives_another_answer_silently(folder: Path, values: dict[str, object]) -> None:
    edit(folder, **values)
    with pytest.raises(RegraftError) as caught:
        bundle.load(folder)
    assert "\n" not in str(caught.value)


def seal(folder: Path) -> None:
    """Make the digest right again, as somebody can who has changed a bundle on purpose."""
    about = json.loads((folder / bundle.ABOUT).read_text(encoding="utf-8"))
    edit(folder, sha256=bundle.digest_of(files.sha256(folder / bundle.TENSORS), about))


@pytest.mark.parametrize(
    "values",
    [
        {"classes": ["1", "1", "2", "10"]},
        {"classes": ["1", "10", "2", ""]},
        {"classes": ["1", "10", "2", 7]},
        {"classes": "1234"},
        {"backbone": 7},
        {"backbone": "squeezenet1_1"},
        {"backbone": "resnext101_32x8d"},  # hundreds of MB, for a file of a few: nothing of it is made
        {"head": {"width": 1024, "classes": 4, "hidden": 65536}},
        {"head": {"width": 1024, "classes": 10**9, "hidden": 8}},
        {"head": {"width": 10**6, "classes": 4, "hidden": 0}},
        {"head": {"width": 1024, "classes": 4, "hidden": 8, "dropout": 1}},
        {"head": {"width": 1024, "classes": 4, "hidden": 8, "more": 1}},
        {"preprocessing": {**LOOK.as_dict(), "size": 10**6, "resize": 10**6}},
        {"preprocessing": {**LOOK.as_dict(), "std": [0.1, 0, 0.1]}},
        {"preprocessing": {**LOOK.as_dict(), "mean": [0.1, 0.2]}},
        {"preprocessing": {**LOOK.as_dict(), "scale": "1"}},
        {"preprocessing": {**LOOK.as_dict(), "unknown": 1}},
        {"temperature": 0},
        {"temperature": "1"},
        {"threshold": {"positive": "1", "value": 0.5, "target": "recall", "wanted": 0.9}},  # of four classes
        {"lineage": "none"},
        {"method": None},
    ],
    ids=str,
)
def test_a_bundle_of_a_stranger_is_refused_in_one_line_however_well_it_is_sealed(
    folder: Path, values: dict[str, object]
) -> None:
    edit(folder, **values)
    seal(folder)
    with pytest.raises(BundleError, match="does not fit together") as caught:
        bundle.load(folder)
    assert "\n" not in str(caught.value)


def no_number(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.out.bias"][0] = torch.nan


def whole_numbers(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.out.bias"] = torch.ones(4, dtype=torch.int32)


def another_shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.out.bias"] = torch.ones(5)


def one_too_few(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["head.out.bias"]


def one_too_many(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.more"] = torch.ones(5)


def far_too_much(tensors: dict[str, torch.Tensor]) -> None:
    tensors["more"] = torch.zeros(200 << 20, dtype=torch.uint8)


@pytest.mark.parametrize("change", [no_number, whole_numbers, another_shape, one_too_few, one_too_many, far_too_much])
def test_tensors_of_a_stranger_are_refused_in_one_line_however_well_they_are_sealed(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    tensors = bundle.load_tensors((folder / bundle.TENSORS).read_bytes())
    change(tensors)
    bundle.save_tensors(tensors, folder / bundle.TENSORS)
    seal(folder)
    with pytest.raises(BundleError, match="does not fit together") as caught:
        bundle.load(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_asks_whether_the_run_finished(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="resume=True"):
        bundle.load(tmp_path)
