"""What is known of pictures -> findings: each kind is found where it was planted, and nowhere else."""

import csv
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.audit import KINDS, Audit, Remark, audit_of, check_kinds, out_of_fold, read_remarks, write_remarks
from regraft.data import Item, Look, Manifest
from regraft.errors import UnknownName

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(0, 1, (2, 12))


def manifest(labels: np.ndarray, **traits: list[str]) -> Manifest:
    items = [Item(Path(f"/{at}.png"), f"{at}.png", int(label)) for at, label in enumerate(labels)]
    for name, values in traits.items():
        items = [replace(item, **{name: value}) for item, value in zip(items, values, strict=True)]
    return Manifest(Path("/"), ("cat", "dog"), tuple(items))


def looks(count: int) -> list[Look]:
    drawn = np.random.default_rng(1).integers(0, 256, (count, 32, 32), dtype=np.uint8)
    return [Look(100, 80, "RGB", grey) for grey in drawn]


def embeddings(labels: np.ndarray) -> np.ndarray:
    return CENTRES[labels] + np.random.default_rng(2).normal(0, 0.25, (len(labels), 12))


LABELS = np.arange(100) % 2
DIGESTS = [f"{at:032x}" for at in range(100)]


def audit(found: Manifest | None = None, digests: list[str] = DIGESTS, **changed: object) -> Audit:
    given = {"embeddings": embeddings(LABELS), "looks": looks(100)} | changed
    return audit_of(found or manifest(LABELS), digests, **given)  # type: ignore[arg-type]


def names(found: Audit, kind: str) -> list[tuple[str, str]]:
    return [(remark.filename, remark.other) for remark in found.of(kind)]


def test_sound_data_have_no_findings() -> None:
    found = audit()
    assert not found.remarks
    assert found.summary() == "Nothing suspicious among 100 pictures."
    assert found.balance() == "The classes are balanced."
    assert (found.pictures, found.classes, found.modes) == (100, {"cat": 50, "dog": 50}, {"RGB": 100})


def test_the_same_file_twice_is_a_duplicate_in_one_class_and_a_conflict_in_two() -> None:
    found = audit(digests=["same", "same", *DIGESTS[2:4], "other", DIGESTS[5], "other", *DIGESTS[7:]])
    assert names(found, "label-conflict") == [("0.png", "1.png")]
    assert names(found, "duplicate") == [("4.png", "6.png")]
    assert names(found, "leak") == []


def test_a_leak_lies_between_parts_or_between_groups() -> None:
    digests = ["a", DIGESTS[1], "a", DIGESTS[3], "b", DIGESTS[5], "b", *DIGESTS[7:]]
    parts = ["train"] * 2 + ["test"] * 3 + ["train"] * 95
    assert names(audit(manifest(LABELS, part=parts), digests), "leak") == [("0.png", "2.png"), ("4.png", "6.png")]
    groups = [f"g{at // 5}" for at in range(100)]
    assert names(audit(manifest(LABELS, group=groups), digests), "leak") == [("4.png", "6.png")]


def test_a_group_in_two_parts_is_one_leak() -> None:
    groups, parts = [f"g{at // 10}" for at in range(100)], ["train" if at < 15 else "test" for at in range(100)]
    (leak,) = audit(manifest(LABELS, group=groups, part=parts)).of("leak")
    assert (leak.filename, leak.other) == ("10.png", "15.png")
    assert leak.remark == "group g1 has pictures in train and test"


def test_a_near_copy_is_found_where_the_embeddings_meet() -> None:
    shown, rows = looks(100), embeddings(LABELS)
    shown[8] = shown[8]._replace(grey=shown[2].grey[:, ::-1])
    rows[8] = rows[2] + 0.001
    (twin,) = audit(embeddings=rows, looks=shown).of("near-duplicate")
    assert (twin.filename, twin.other) == ("2.png", "8.png")
    assert twin.score is not None
    assert twin.score > 0.99


def test_wrong_labels_are_ranked_first_and_named() -> None:
    wrong = [3, 20, 51, 78, 99]
    swapped = LABELS.copy()
    swapped[wrong] = 1 - swapped[wrong]
    found = audit(manifest(swapped))
    assert found.label_quality is not None
    assert set(wrong) <= set(np.argsort(found.label_quality)[:10].tolist())
    named = {remark.filename for remark in found.of("label-error")}
    assert len(named & {f"{at}.png" for at in wrong}) >= 4
    assert len(named) <= 8
    assert found.of("label-error")[0].remark.startswith("rather ")


def test_no_picture_is_judged_by_a_model_that_has_seen_its_group() -> None:
    """Random labels, the same within a group, on rows that are the same within a group: nothing can be known."""
    groups = np.repeat(np.arange(50), 10)
    labels = np.random.default_rng(3).permutation(50)[groups] % 2
    rows = np.random.default_rng(4).normal(0, 1, (50, 40))[groups].astype(np.float32)
    seen = out_of_fold(manifest(labels), rows)
    unseen = out_of_fold(manifest(labels, group=[str(group) for group in groups]), rows)
    assert (seen.argmax(1) == labels).mean() > 0.9
    assert (unseen.argmax(1) == labels).mean() < 0.7
    assert np.allclose(unseen.sum(1), 1)


def test_too_few_pictures_of_a_class_are_said_and_the_rest_is_judged() -> None:
    labels = np.array([1] * 2 + [0] * 98)
    found = audit(manifest(labels), digests=["same", "same", *DIGESTS[2:]])
    assert found.label_quality is None
    assert "Labels were not judged: The class 'dog' has 2 pictures" in found.notices[0]
    assert names(found, "duplicate") == [("0.png", "1.png")]
    assert "cat has 49.0 times as many pictures as dog" in found.balance()


def test_what_lies_far_from_all_others_is_an_outlier() -> None:
    rows = embeddings(LABELS)
    rows[40] += 30
    assert names(audit(embeddings=rows), "outlier") == [("40.png", "")]


def test_odd_sizes_are_told() -> None:
    shown = looks(100)
    shown[1], shown[2] = shown[1]._replace(width=10, height=8), shown[2]._replace(width=1000, mode="L")
    found = audit(looks=shown)
    assert [remark.remark for remark in found.of("odd-size")] == ["10 x 8 pixels", "1000 x 80 pixels"]
    assert found.modes == {"RGB": 99, "L": 1}
    assert (found.sizes["least_width"], found.sizes["median_width"], found.sizes["largest_width"]) == (10, 100, 1000)


def test_unreadable_files_come_first_with_their_reason(tmp_path: Path) -> None:
    found = audit(digests=["same", DIGESTS[1], "same", *DIGESTS[3:]], skipped={"z.png": "cut off"})
    assert [remark.kind for remark in found.remarks] == ["corrupt", "duplicate"]
    assert found.summary().startswith("Among 100 pictures: 1 duplicate. 1 more cannot be read.")
    write_remarks(tmp_path / "findings.csv", found.remarks)
    rows = list(csv.DictReader((tmp_path / "findings.csv").open()))
    assert [(row["kind"], row["filename"], row["remark"]) for row in rows] == [
        ("corrupt", "z.png", "cut off"),
        ("duplicate", "0.png", "the same file"),
    ]
    assert read_remarks(tmp_path / "findings.csv") == found.remarks
    assert found.as_dict()["counts"] == dict.fromkeys(KINDS, 0) | {"corrupt": 1, "duplicate": 1}


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_few_pictures_are_no_error(count: int) -> None:
    found = audit_of(manifest(LABELS[:count]), DIGESTS[:count], embeddings(LABELS[:count]), looks(count))
    assert found.pictures == len(found.map) == count


def test_equal_data_give_an_equal_audit() -> None:
    first, second = audit(), audit()
    assert np.array_equal(first.map, second.map)
    assert first.as_dict() == second.as_dict()


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    assert check_kinds(["leak", "duplicate"]) == ("leak", "duplicate")
    with pytest.raises(UnknownName, match="Did you mean leak"):
        check_kinds(["leaks"])


texts = st.text(st.characters(exclude_categories=["Cs"])) | st.binary().map(os.fsdecode)
scores = st.none() | st.integers(0, 10**6).map(lambda score: score / 1e4)


@given(
    found=st.lists(st.builds(Remark, st.sampled_from(sorted(KINDS)), texts, texts, texts, scores, texts), max_size=4)
)
def test_findings_are_read_as_they_were_written_whatever_the_pictures_are_called(found: list[Remark]) -> None:
    with TemporaryDirectory() as folder:
        write_remarks(Path(folder) / "findings.csv", found)
        assert read_remarks(Path(folder) / "findings.csv") == found
