"""File names -> the groups that they may tell: those that people's names really make, never an error, never a guess."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.data import Item, Manifest, Reading, digest, in_stretches, naming_of, namings, scan
from regraft.data.naming import match_names


def manifest(*names: str) -> Manifest:
    """A manifest of CLASS/…/file names."""
    classes = tuple(sorted({name.split("/")[0] for name in names}))
    items = tuple(Item(Path("/data") / name, name, classes.index(name.split("/")[0])) for name in names)
    return Manifest(Path("/data"), classes, items)


def named(form: Callable[[str, int, int], str], sources: int = 6, each: int = 4) -> Manifest:
    """Two classes of pictures whose names are made from class, source and number in the source."""
    return manifest(*(form(cls, at, n) for cls in ("a", "b") for at in range(sources) for n in range(each)))


def partition(groups: list[str]) -> set[frozenset[int]]:
    return {frozenset(at for at, one in enumerate(groups) if one == group) for group in groups}


def patterns(found: Manifest) -> list[str]:
    return [naming.pattern for naming in namings(found)]


FORMS = {
    "malaria": lambda cls, at, n: f"{cls}/C{at + 33}P{at}thinF_IMG_20150619_11475{n}a_cell_{17 * n + at}.png",
    "video": lambda cls, at, n: f"{cls}/clip{at:02d}_frame{n:04d}.jpg",
    "chest": lambda cls, at, n: f"{cls}/{at:08d}_{n:03d}.png",
    "folders": lambda cls, at, n: f"{cls}/patient{at}/{n}.png",
    "deep folders": lambda cls, at, n: f"{cls}/hospital/patient{at}/study1/{n}.png",
    "oct": lambda cls, at, n: f"{cls}/CNV-{10160 + at}-{n}.jpeg",
    "person": lambda cls, at, n: f"{cls}/person{at}_bacteria_{n}.jpeg",
    "names": lambda cls, at, n: f"{cls}/{'abcdef'[at]}na_smith_{n:04d}.jpg",
    "letters": lambda cls, at, n: f"{cls}/leaf{at}{'abcd'[n]}.jpg",
    "middle": lambda cls, at, n: f"{cls}/img_p{at:02d}_{n}{at}.png",
    "last": lambda cls, at, n: f"{cls}/{n}{at}_p{at:02d}.png",
    "turned": lambda cls, at, n: f"{cls}/x{'abcdef'[at]}{['', '_rot90', '_flip', '_aug12'][n]}.png",
    "again": lambda cls, at, n: f"{cls}/a b{'abcdef'[at]}{['', ' (1)', ' (2)', ' - Copy'][n]}.png",
    "roboflow": lambda cls, at, n: f"{cls}/IMG_{at}_jpg.rf.{'abcd'[n]}{at}0f{n}.jpg",
    "degrees": lambda cls, at, n: (
        f"{cls}/0{'abcdef'[at]}___RS_HL {at}{['', '_90deg', '_newPixel25', '_flipLR'][n]}.JPG"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_source_is_found_in_the_names_that_people_give(form):
    found = named(FORMS[form])
    wanted = partition([f"{at % 24 // 4}" for at in range(48)])  # one source in both classes
    apart = partition([f"{at // 4}" for at in range(48)])  # or a source is of one class, where the name has both
    made = [partition(naming.groups) for naming in namings(found)]
    assert wanted in made or apart in made


PLAIN = {
    "numbers": lambda cls, at, n: f"{cls}/img_{10 * at + n:04d}.jpg",
    "class and number": lambda cls, at, n: f"{cls}/{cls}.{10 * at + n}.jpg",
    "numbers alone": lambda cls, at, n: f"{cls}/{10 * at + n + 100 * (cls == 'b'):05d}.png",
    "archive": lambda cls, at, n: f"{cls}/ISIC_{10 * at + n + 100 * (cls == 'b'):07d}.jpg",
    "renamed by a system": lambda cls, at, n: f"{cls}/{cls} ({10 * at + n}).jpg",
    "word net": lambda cls, at, n: f"{cls}/n0{ord(cls)}_{10 * at + n}.JPEG",
    "hashes": lambda cls, at, n: f"{cls}/{hash_of(cls, at, n)}.jpg",
}


def hash_of(*parts: object) -> str:
    return digest(repr(parts).encode())[:12]


@pytest.mark.parametrize("form", PLAIN)
def test_plain_numbers_within_a_class_tell_no_groups_of_that_class(form):
    found = named(PLAIN[form])
    for naming in namings(found):
        # what is left pairs pictures of two classes by their number: in its class each is alone
        assert len(set(zip(found.labels.tolist(), naming.groups, strict=True))) == len(found)


def test_the_pattern_for_one_letter_before_the_number_is_the_one_a_user_would_write():
    assert patterns(named(FORMS["malaria"]))[0] == r"^C\d+"


def test_no_way_makes_a_class_a_group():
    said = [(cls, n, end) for cls in ("benign", "malignant") for n in range(30) for end in ("", "_mask")]
    found = manifest(*(f"{cls}/{cls} ({n}){end}.png" for cls, n, end in said))
    assert not [way for way in namings(found) if {"benign", "malignant"} & set(way.groups)]


def test_ways_that_make_the_same_groups_are_one_whatever_these_are_called():
    """C3 comes before C33, and C33x before C3x."""
    found = manifest(*(f"{cls}/C{at}x_{n}.png" for cls in "ab" for at in (3, 33, 37, 101) for n in range(4)))
    made = [frozenset(partition(naming.groups)) for naming in namings(found)]
    assert len(made) == len(set(made))


def test_few_names_of_another_kind_are_groups_of_their_own():
    found = manifest(*(item.name for item in named(FORMS["malaria"]).items), "a/odd.png", "b/other one.png")
    naming = next(naming for naming in namings(found) if naming.pattern.startswith(r"^C\d+"))
    assert naming.pattern == r"^C\d+|^.+"
    assert naming.groups[-2:] == ["odd.png", "other one.png"]
    assert naming_of(r"^\d+$", found) is None  # of many names it would make no sense


def test_folders_are_searched_where_a_pattern_has_a_slash(tmp_path):
    names = [item.name for item in named(FORMS["folders"]).items]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = scan(tmp_path, Reading(groups="^[^/]*/([^/]+)"))
    assert found.groups == [item.name.split("/")[1] for item in found.items]
    assert scan(tmp_path, Reading(groups=r"^\d")).groups == [
        item.path.name[0] for item in found.items
    ]  # the file name alone


TEXT = st.text("aZé09_- .()/\\\n", min_size=1, max_size=12)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("ab"), TEXT), max_size=40))
def test_any_names_at_all_give_patterns_that_do_what_they_say(drawn):
    names = [f"{cls}/{name}" for cls, name in drawn]
    if not names:
        return
    found = manifest(*names)
    for naming in namings(found):
        re.compile(naming.pattern)
        assert match_names(names, naming.pattern, "groups") == naming.groups
        assert len(naming.groups) == len(found)
        assert all(naming.groups)


SOURCE = st.tuples(st.sampled_from(["C", "patient", "v-", "", "é"]), st.integers(1, 40), st.sampled_from("_-. "))


@settings(max_examples=25)
@given(st.lists(st.tuples(SOURCE, st.integers(2, 4)), min_size=6, max_size=10), st.booleans())
def test_a_proposed_pattern_makes_the_same_groups_when_the_data_are_scanned(sources, in_folders):
    names = {
        f"{cls}/{word}{number}{'/' if in_folders else between}{n}.png"
        for (word, number, between), each in sources
        for cls in "ab"
        for n in range(each)
    }
    found = manifest(*sorted(names))
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / name).touch()
        for naming in namings(found):
            scanned = scan(folder, Reading(groups=naming.pattern))
            assert dict(zip((item.name for item in scanned.items), scanned.groups, strict=True)) == dict(
                zip((item.name for item in found.items), naming.groups, strict=True)
            )


@pytest.mark.parametrize("count", [0, 1, 95, 3000, 3001, 12_345])
def test_a_sample_keeps_neighbouring_names_together(count):
    chosen = in_stretches(count, 3000, 0)
    assert chosen == sorted(set(chosen))
    assert min(count, 2990) <= len(chosen) <= 3000
    assert chosen == in_stretches(count, 3000, 0)
    kept = set(chosen)
    assert all({*range(at, min(at + 10, count))} <= kept for at in chosen if at % 10 == 0)
