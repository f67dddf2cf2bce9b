"""What is known of pictures -> findings: each kind is found where it was planted, and nowhere else."""

import csv
import os
import re
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.audit.judging import (
    Audit,
    Remark,
    audit_of,
    blank_notices,
    map_of,
    out_of_fold,
    read_remarks,
    reduced,
    write_remarks,
)
from regraft.audit.kinds import KINDS, check_kinds
from regraft.data import Item, Manifest, Thumbnail
from regraft.errors import UnknownName, WeightsError

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(0, 1, (2, 12))


def manifest(labels: np.ndarray, **traits: list[str]) -> Manifest:
    items = [Item(Path(f"/{at}.png"), f"{at}.png", int(label)) for at, label in enumerate(labels)]
    for name, values in traits.items():
        items = [replace(item, **{name: value}) for item, value in zip(items, values, strict=True)]
    return Manifest(Path("/"), ("cat", "dog"), tuple(items))


def thumbnails(count: int) -> list[Thumbnail]:
    drawn = np.random.default_rng(1).integers(0, 256, (count, 64, 64), dtype=np.uint8)
    return [Thumbnail(100, 80, "RGB", grey) for grey in drawn]


def embeddings(labels: np.ndarray) -> np.ndarray:
    return CENTRES[labels] + np.random.default_rng(2).normal(0, 0.25, (len(labels), 12))


LABELS = np.arange(100) % 2
DIGESTS = [f"{at:032x}" for at in range(100)]


def audit(found: Manifest | None = None, digests: list[str] = DIGESTS, **changed: object) -> Audit:
    given = {"embeddings": embeddings(LABELS), "thumbnails": thumbnails(100)} | changed
    points = reduced(given.pop("embeddings"))  # type: ignore[arg-type]
    return audit_of(found or manifest(LABELS), digests, points, **given)  # type: ignore[arg-type]


def names(found: Audit, kind: str) -> list[tuple[str, str]]:
    return [(remark.filename, remark.other) for remark in found.of(kind)]


def test_sound_data_have_no_findings() -> None:
    found = audit()
    assert not found.remarks
    assert found.summary() == "Nothing suspicious among 100 pictures."
    assert found.balance() == "The classes are balanced."
    assert (found.pictures, found.classes, found.modes) == (100, {"cat": 50, "dog": 50}, {"RGB": 100})


def test_blank_pictures_are_counted_by_class() -> None:
    blank = [one._replace(spread=0) if at < 20 or at == 21 else one for at, one in enumerate(thumbnails(100))]
    found = audit(thumbnails=blank)
    assert len(found.of("blank")) == 21
    assert "21 blank pictures (10 of 50 of cat, 11 of 50 of dog)." in found.summary()
    assert "leave them out" in found.summary()
    (notice,) = blank_notices(found.remarks, found.classes)
    assert notice.startswith("21 of 100 pictures are one colour (10 of 50 of cat, 11 of 50 of dog)")


def test_a_few_blank_pictures_are_found_but_no_warning() -> None:
    blank = [one._replace(spread=4) if at < 4 else one for at, one in enumerate(thumbnails(100))]
    found = audit(thumbnails=blank)
    assert len(found.of("blank")) == 4
    assert not blank_notices(found.remarks, found.classes)
    assert audit(thumbnails=[one._replace(spread=5) for one in thumbnails(100)]).counts()["blank"] == 0


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
    shown, rows = thumbnails(100), embeddings(LABELS)
    shown[8] = shown[8]._replace(grey=shown[2].grey[:, ::-1])
    rows[8] = rows[2] + 0.001
    (twin,) = audit(embeddings=rows, thumbnails=shown).of("near-duplicate")
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
    assert re.match(
        r"Of 100 labels, about \d+ are expected to be wrong; the \d+ likeliest are listed\. ", found.notices[0]
    )
    assert "label-error" not in found.summary()
    scores = [remark.score for remark in found.of("label-error")]
    assert scores == sorted(scores, reverse=True)
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
    shown = thumbnails(100)
    shown[1], shown[2] = shown[1]._replace(width=10, height=8), shown[2]._replace(width=1000, mode="L")
    found = audit(thumbnails=shown)
    assert [remark.remark for remark in found.of("odd-size")] == ["10 x 8 pixels", "1000 x 80 pixels"]
    assert found.modes == {"RGB": 99, "L": 1}
    assert (found.sizes["least_width"], found.sizes["median_width"], found.sizes["largest_width"]) == (10, 100, 1000)


def test_unreadable_files_come_first_with_their_reason(tmp_path: Path) -> None:
    found = audit(digests=["same", DIGESTS[1], "same", *DIGESTS[3:]], skipped={"z.png": "cut off"})
    assert [remark.kind for remark in found.remarks] == ["corrupt", "duplicate"]
    assert found.summary().startswith("Among 100 pictures: 1 set of exact copies. 1 more cannot be read.")
    write_remarks(tmp_path / "findings.csv", found.remarks)
    rows = list(csv.DictReader((tmp_path / "findings.csv").open()))
    assert [(row["kind"], row["filename"], row["remark"]) for row in rows] == [
        ("corrupt", "z.png", "cut off"),
        ("duplicate", "0.png", "the same file"),
    ]
    assert read_remarks(tmp_path / "findings.csv") == found.remarks
    assert found.as_dict()["counts"] == dict.fromkeys(KINDS, 0) | {"corrupt": 1, "duplicate": 1}


def test_six_copies_of_one_picture_are_one_finding_and_fifteen_pairs_in_the_table() -> None:
    shown, rows = thumbnails(100), embeddings(LABELS)
    for copy in range(2, 12, 2):
        shown[copy], rows[copy] = shown[0], rows[0] + 0.001 * copy
    found = audit(embeddings=rows, thumbnails=shown)
    (finding,) = found.gathered("near-duplicate")
    assert len(found.of("near-duplicate")) == 15
    assert finding.members == tuple(sorted(f"{at}.png" for at in range(0, 12, 2)))
    assert "(6 pictures): nearly the same picture" in finding.said
    assert found.counts()["near-duplicate"] == 1
    assert found.summary() == "Among 100 pictures: 1 set of near copies."


def scenes(count: int, each: int) -> np.ndarray:
    """Return rows of scenes that were seen several times, and one a little different each time."""
    rng = np.random.default_rng(7)
    return np.repeat(rng.normal(0, 1, (count, 12)), each, 0) + rng.normal(0, 0.05, (count * each, 12))


@pytest.mark.parametrize("grouped", [False, True])
def test_a_test_part_of_scenes_that_were_trained_on_is_said_to_be_too_near(grouped: bool) -> None:
    """Each scene twice, one in train and one in test: no picture is a copy, and none lies so near within train."""
    traits = {"group": [f"g{at}" for at in range(100)]} if grouped else {}
    found = audit(manifest(np.arange(100) // 50, part=["train", "test"] * 50, **traits), embeddings=scenes(50, 2))
    (close,) = found.of("close-parts")
    assert close.remark.startswith("50 of 50 pictures in test are nearer to one in train than all but 5%")
    assert int(close.filename[:-4]) // 2 == int(close.other[:-4]) // 2
    assert "1 part too near to the training pictures" in found.summary()


@pytest.mark.parametrize("seed", range(6))
def test_parts_that_were_drawn_by_chance_are_not_too_near(seed: int) -> None:
    parts = np.random.default_rng(seed).permutation(["train"] * 70 + ["test"] * 30).tolist()
    rows = np.random.default_rng(seed + 50).normal(0, 1, (100, 12)) * (1 + 3 * LABELS[:, None])
    assert audit(manifest(LABELS, part=parts), embeddings=rows).of("close-parts") == []


def test_groups_that_are_alike_within_neither_hide_nor_feign_a_part_too_near() -> None:
    groups = [f"g{at // 5}" for at in range(100)]
    whole, torn = (
        ["test" if test else "train" for test in which] for which in (np.arange(100) >= 70, np.arange(100) % 5 == 0)
    )
    assert audit(manifest(LABELS, part=whole, group=groups), embeddings=scenes(20, 5)).of("close-parts") == []
    assert len(audit(manifest(LABELS, part=torn, group=groups), embeddings=scenes(20, 5)).of("close-parts")) == 1


# numbers that native code must not see

DEGENERATE = {
    "all equal": np.ones((24, 12)),
    "all zero": np.zeros((24, 12)),
    "two kinds": np.repeat([[0.0] * 12, [1.0] * 12], 12, 0),
    "one column": np.arange(24.0)[:, None],
    "constant columns": np.concatenate([np.full((24, 11), 3.0), np.arange(24.0)[:, None]], 1),
    "one apart": np.concatenate([np.ones((23, 12)), np.full((1, 12), 2.0)]),
    "large": np.random.default_rng(0).normal(0, 1e15, (24, 12)),
    "tiny": np.random.default_rng(0).normal(0, 1e-30, (24, 12)),
}


@pytest.mark.parametrize("rows", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("classes", [1, 2])
def test_degenerate_embeddings_are_judged_without_a_warning(rows: np.ndarray, classes: int) -> None:
    labels = np.arange(24) % classes
    same = [Thumbnail(64, 64, "RGB", np.full((64, 64), 7, np.uint8))] * 24
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points = reduced(rows)
        found, mapped = audit_of(manifest(labels), [f"{at}" for at in range(24)], points, same), map_of(points)
    assert mapped.positions.shape == (24, 2)
    assert np.isfinite(mapped.positions).all()
    assert not found.of("near-duplicate")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_no_numbers_are_refused_and_counted(value: float) -> None:
    rows = embeddings(LABELS)
    rows[[3, 50], 2] = value
    with pytest.raises(WeightsError, match="2 of 100 pictures"):
        audit(embeddings=rows)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_few_pictures_are_no_error(count: int) -> None:
    points = reduced(embeddings(LABELS[:count]))
    found = audit_of(manifest(LABELS[:count]), DIGESTS[:count], points, thumbnails(count))
    assert found.pictures == len(map_of(points).positions) == count


def test_equal_data_give_an_equal_audit() -> None:
    assert audit().as_dict() == audit().as_dict()
    first, second = (map_of(reduced(embeddings(LABELS))).positions for _ in range(2))
    assert np.array_equal(first, second)


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
