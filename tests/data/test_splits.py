import csv
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.data import (
    PARTS,
    Item,
    Manifest,
    Reading,
    into_folds,
    learned_digests,
    scan,
    split,
    split_from,
    write_split,
)
from regraft.errors import ConfigError, DataError, SplitError


def make(labels, groups=None, parts=None) -> Manifest:
    items = [
        Item(
            Path(f"/{at}.png"),
            f"{at}.png",
            label,
            group=None if groups is None else str(groups[at]),
            part=None if parts is None else parts[at],
        )
        for at, label in enumerate(labels)
    ]
    return Manifest(Path("/"), tuple(map(str, range(max(labels) + 1))), tuple(items))


def parts(manifest):
    return [item.part for item in manifest.items]


def groups_of(manifest, part):
    return {manifest.items[at].group for at in manifest.part(part)}


fractions = st.floats(0.05, 0.4)


@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=6), val=fractions, test=fractions, seed=st.integers(0, 99)
)
def test_pictures_every_class_is_in_every_part_or_it_is_refused(sizes, val, test, seed):
    manifest = make([label for label, size in enumerate(sizes) for _ in range(size)])
    if min(sizes) < 3:
        with pytest.raises(SplitError, match=f"has {min(sizes)} pictures; at least 3 are needed"):
            split(manifest, val=val, test=test, seed=seed)
        return
    done = split(manifest, val=val, test=test, seed=seed)
    assert set(parts(done)) == set(PARTS)  # so the parts are disjoint and complete: every item has one
    for part, fraction in zip(PARTS, (1 - val - test, val, test), strict=True):
        for count, size in zip(done.counts(part).values(), sizes, strict=True):
            assert count >= 1
            assert abs(count - fraction * size) <= 2
    assert parts(split(manifest, val=val, test=test, seed=seed)) == parts(done)


@settings(max_examples=40)
@given(
    pictures=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), min_size=10, max_size=200),
    val=fractions,
    test=fractions,
    seed=st.integers(0, 99),
)
def test_groups_never_meet_in_two_parts_and_every_class_is_in_every_part_or_it_is_refused(pictures, val, test, seed):
    manifest = make([0, 1, 2, *(label for label, _ in pictures)], [0, 1, 2, *(group for _, group in pictures)])
    try:
        done = split(manifest, val=val, test=test, seed=seed)
    except SplitError:
        return
    assert not groups_of(done, "train") & groups_of(done, "val")
    assert not groups_of(done, "train") & groups_of(done, "test")
    assert not groups_of(done, "val") & groups_of(done, "test")
    for part in PARTS:
        assert min(done.counts(part).values()) >= 1
    assert parts(split(manifest, val=val, test=test, seed=seed)) == parts(done)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 30), min_size=40, max_size=60), st.integers(0, 99))
def test_with_many_groups_the_fractions_are_near_what_was_asked(sizes, seed):
    labels = [label for size in sizes for label in [0, 1] * size]
    groups = [group for group, size in enumerate(sizes) for _ in range(2 * size)]
    done = split(make(labels, groups), val=0.15, test=0.2, seed=seed)
    for part, fraction in (("val", 0.15), ("test", 0.2)):
        for count in done.counts(part).values():
            assert count / sum(sizes) == pytest.approx(fraction, abs=0.03)


@pytest.mark.parametrize("groups", [3, 4, 7])
def test_three_groups_a_class_are_enough(groups):
    labels = [label for label in range(10) for _ in range(groups * 2)]
    done = split(make(labels, [at // 2 for at in range(len(labels))]))
    assert all(min(done.counts(part).values()) >= 1 for part in PARTS)


def test_too_few_groups_are_refused_with_the_class_and_the_numbers():
    manifest = make([0] * 8 + [1] * 8, [*"abcdefgh", *"abababab"])
    with pytest.raises(
        SplitError, match="class '1' has 2 groups; at least 3 are needed, one each for train, test and val"
    ):
        split(manifest)


def test_groups_that_cannot_be_told_apart_are_refused():
    # class 0 wants a, b, c apart and class 1 a, b, d: so c and d would lie together, which class 2 forbids
    with pytest.raises(SplitError, match="no choice of whole groups"):
        split(make([0, 0, 0, 1, 1, 1, 2, 2, 2], "abcabdcde"))


@pytest.mark.parametrize("groups", [None, list(range(100))])
def test_another_seed_is_another_split(groups):
    manifest = make([0, 1] * 50, groups)
    assert len({tuple(parts(split(manifest, seed=seed))) for seed in range(5)}) == 5


def test_another_seed_is_another_split_even_where_no_two_groups_are_alike():
    groups = [group for group in range(40) for _ in range(2 * (group + 5))]
    manifest = make([at % 2 for at in range(len(groups))], groups)
    done = [split(manifest, seed=seed) for seed in range(6)]
    assert len({tuple(parts(each)) for each in done}) == 6
    for each in done:
        for count in (*each.counts("val").values(), *each.counts("test").values()):
            assert count / (len(groups) / 2) == pytest.approx(0.15, abs=0.02)


def test_a_class_of_few_groups_does_not_swell_the_parts():
    labels = [label for label, groups in enumerate([30, 30, 3]) for _ in range(groups * 10)]
    done = split(make(labels, [at // 10 for at in range(len(labels))]))
    for part in ("val", "test"):
        assert done.counts(part) == {"0": pytest.approx(45, abs=10), "1": pytest.approx(45, abs=10), "2": 10}


@settings(max_examples=30)
@given(
    count=st.integers(2, 5),
    sizes=st.lists(st.integers(8, 40), min_size=2, max_size=4),
    grouped=st.booleans(),
    seed=st.integers(0, 99),
)
def test_over_all_folds_every_picture_is_tested_once_and_groups_stay_whole(count, sizes, grouped, seed):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    groups = [at // 2 for at in range(len(labels))] if grouped else None  # a pair may hold two classes
    try:
        done = into_folds(make(labels, groups), count, seed=seed)
    except SplitError:
        assert grouped
        return
    tested = [at for fold in done for at in fold.part("test").tolist()]
    assert sorted(tested) == list(range(len(labels)))
    for fold in done:
        for part in PARTS:
            assert min(fold.counts(part).values()) >= 1
        if grouped:
            assert not groups_of(fold, "test") & (groups_of(fold, "train") | groups_of(fold, "val"))
            assert not groups_of(fold, "train") & groups_of(fold, "val")


def test_more_folds_than_a_class_can_fill_are_refused():
    with pytest.raises(SplitError, match=r"'1' has 4 pictures; 5 folds need at least 5"):
        into_folds(make([0] * 10 + [1] * 4), 5)


def test_where_the_first_draw_leaves_a_class_out_of_a_fold_another_is_taken():
    manifest = make([0, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 0, 1], "becadbfacccddc")
    first = into_folds(manifest, 3, val=0.3, every_class=False)
    assert any(0 in fold.counts("test").values() for fold in first)
    assert all(min(fold.counts("test").values()) for fold in into_folds(manifest, 3, val=0.3))


def test_folds_that_cannot_all_have_every_class_are_refused():
    # class 0 wants a, b, c apart and class 1 a, b, d: so c and d would lie together, which class 2 forbids
    with pytest.raises(SplitError, match=r"no 3 folds of whole groups had every class in each; '[012]' was missing"):
        into_folds(make([0, 0, 0, 1, 1, 1, 2, 2, 2], "abcabdcde"), 3)


def test_given_parts_do_not_bind_folds():
    done = into_folds(make([0, 1] * 10, parts=["train"] * 12 + ["test"] * 8), 2)
    assert sorted(at for fold in done for at in fold.part("test")) == list(range(20))


def test_given_parts_stay_and_the_missing_one_is_held_out_of_train():
    given_parts = ["test"] * 20 + ["train"] * 80
    done = split(make([0, 1] * 50, parts=given_parts), val=0.25)
    assert parts(done)[:20] == ["test"] * 20
    assert done.counts("val") == {"0": 10, "1": 10}
    whole = make([0, 1] * 3, parts=["train", "train", "val", "val", "test", "test"])
    assert split(whole) == whole


def test_a_given_test_part_may_lack_a_class():
    done = split(make([0, 1] * 10, parts=["test", *["train"] * 19]), val=0.2)
    assert done.counts("test") == {"0": 1, "1": 0}


def test_a_fraction_of_0_asks_for_no_part():
    assert set(parts(split(make([0, 1] * 10), val=0))) == {"train", "test"}


@pytest.mark.parametrize("wrong", [{"val": -0.1}, {"val": 0.5, "test": 0.5}])
def test_fractions_that_leave_nothing_to_train_on_are_refused(wrong):
    with pytest.raises(ConfigError):
        split(make([0, 1] * 10), **wrong)


def test_a_group_in_two_given_parts_is_refused_by_name():
    with pytest.raises(SplitError, match="The group 'b' has pictures in train and in test"):
        split(make([0, 1, 0, 1], ["a", "b", "b", "c"], ["train", "train", "test", "test"]))


# split files


def write(path, *rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_written_split_is_read_back_from_the_file_or_its_run(tmp_path):
    manifest = make([0, 1] * 20, [at // 2 for at in range(40)])
    done = split(manifest)
    write_split(done, tmp_path / "split.csv")
    assert split_from(manifest, tmp_path / "split.csv") == done
    assert split_from(manifest, tmp_path) == done
    assert [path.name for path in tmp_path.iterdir()] == ["split.csv"]


def test_a_split_file_holds_names_not_numbers(tmp_path):
    manifest = Manifest(Path("/"), ("cat", "狗"), (Item(Path("/x, y.png"), "x, y.png", 1, "g", "val"),))
    write_split(manifest, tmp_path / "split.csv", ["1f"])
    with (tmp_path / "split.csv").open(newline="", encoding="utf-8") as file:
        header, row = csv.reader(file)
    assert header == ["filename", "label", "group", "split", "digest"]
    assert row == ["x, y.png", "狗", "g", "val", "1f"]


def test_a_file_of_train_and_val_gives_train_and_test(tmp_path):
    table = write(tmp_path / "s.csv", ["file", "split"], ["0.png", "train"], ["1.png", "val"], ["2.png", "train"])
    done = split_from(make([0, 1, 1]), table)
    assert parts(done) == ["train", "test", "train"]
    assert "is used as the test part" in done.notices[0]


def test_a_run_without_a_test_part_is_followed_as_it_was(tmp_path):
    done = split(make([0, 1] * 10), test=0)
    write_split(done, tmp_path / "split.csv")
    assert split_from(make([0, 1] * 10), tmp_path) == done


def test_what_a_run_could_not_read_goes_where_its_group_is_or_is_free(tmp_path):
    done = split(make([0, 1] * 20, [at // 2 for at in range(40)]))
    group = next(iter(groups_of(done, "test")))
    write_split(done, tmp_path / "split.csv")
    write(tmp_path / "skipped.csv", ["filename", "reason"], ["40.png", "empty"], ["41.png", "empty"])
    again = split_from(make([0, 1] * 21, [*done.groups, group, "new"]), tmp_path)
    assert parts(again) == [*parts(done), "test", None]
    assert parts(split_from(make([0, 1] * 21), tmp_path)) == [*parts(done), None, None]
    with pytest.raises(SplitError, match=r"1 of 43 pictures are not listed in .*: 42\.png"):
        split_from(make([0, 1] * 21 + [0]), tmp_path)


def test_pictures_that_are_gone_are_told(tmp_path):
    table = write(tmp_path / "s.csv", ["file", "split"], ["0.png", "train"], ["1.png", "test"], ["9.png", "train"])
    (notice,) = split_from(make([0, 1]), table).notices
    assert "1 pictures listed in" in notice
    assert "9.png" in notice


def test_split_files_that_do_not_fit_are_refused(tmp_path):
    manifest = make([0, 1], ["g", "g"])
    with pytest.raises(SplitError, match="1 of 2 pictures are not listed"):
        split_from(manifest, write(tmp_path / "1.csv", ["file", "split"], ["0.png", "train"]))
    rows = ["0.png", "train"], ["1.png", "train"], ["0.png", "test"]
    with pytest.raises(SplitError, match=r"lists 1 pictures in two parts: 0\.png"):
        split_from(manifest, write(tmp_path / "2.csv", ["file", "split"], *rows))
    with pytest.raises(SplitError, match="The group 'g'"):
        split_from(manifest, write(tmp_path / "3.csv", ["file", "split"], ["0.png", "train"], ["1.png", "test"]))
    with pytest.raises(DataError, match="no split column: found file"):
        split_from(manifest, write(tmp_path / "4.csv", ["file"], ["0.png"]))
    with pytest.raises(DataError, match="cannot be read"):
        split_from(manifest, tmp_path)


# real pictures

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real pictures are not beside this project")
def test_patients_are_held_out_whole_near_the_fractions():
    done = split(scan(SHARED / "malaria", Reading(groups=r"^C\d+")))
    assert not groups_of(done, "train") & (groups_of(done, "test") | groups_of(done, "val"))
    for part in ("val", "test"):
        assert len(done.part(part)) / len(done) == pytest.approx(0.15, abs=0.02)


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real pictures are not beside this project")
def test_the_published_split_of_ants_and_bees_is_followed():
    done = split(split_from(scan(SHARED / "hymenoptera"), SHARED / "hymenoptera-split.csv"))
    assert [len(done.part(part)) for part in PARTS] == [207, 37, 153]


# a name on any disk: all but a slash and the byte 0
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1) | st.binary(
    min_size=1
).map(lambda name: os.fsdecode(name.replace(b"/", b"_").replace(b"\0", b"_")))


@given(
    drawn=st.lists(st.tuples(names, st.sampled_from(["train", "val", "test"])), min_size=1, unique_by=lambda at: at[0])
)
def test_a_written_split_is_read_back_whatever_the_pictures_are_called(drawn):
    items = tuple(Item(Path(name), name, at % 2, name, part) for at, (name, part) in enumerate(drawn))
    manifest = Manifest(Path(), ("\r", " b "), items)
    with TemporaryDirectory() as folder:
        write_split(manifest, Path(folder) / "split.csv", [f"{at:032x}" for at in range(len(items))])
        again = split_from(manifest.with_parts([None] * len(items)), Path(folder))
        learned = learned_digests(Path(folder) / "split.csv")
    assert parts(again) == [part for _, part in drawn]
    assert learned == {f"{at:032x}" for at, (_, part) in enumerate(drawn) if part != "test"}
