import csv
import os
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from regraft.data import Reading, natural_key, scan
from regraft.errors import DataError, NoImages


def draw(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            Image.new("L", (1, 1)).save(path, "png")
        else:
            path.mkdir()
    return folder


def write_table(path: Path, columns: dict[str, list[str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def names(manifest):
    return [item.name for item in manifest.items]


def refusal(data, kind=DataError, **options) -> str:
    with pytest.raises(kind) as caught:
        scan(data, Reading(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# natural order


def test_numbers_sort_as_numbers():
    assert sorted(["10", "2", "1", "a10b", "a9b", "b", "a"], key=natural_key) == [
        *("1", "2", "10", "a", "a9b", "a10b", "b"),
    ]


@settings(max_examples=50)
@given(st.lists(st.text("aé 0123456789_/.", max_size=8), max_size=12))
def test_natural_order_is_one_order_whatever_came_first(texts):
    shuffled = random.Random(0).sample(texts, len(texts))
    assert sorted(texts, key=natural_key) == sorted(shuffled, key=natural_key)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(["", "class ", "é"]))
def test_natural_order_follows_the_numbers_in_names(a, b, prefix):
    assert (natural_key(f"{prefix}{a}") < natural_key(f"{prefix}{b}")) == (a < b)


# class folders


def test_class_folders_give_classes_and_items_in_natural_order(tmp_path):
    manifest = scan(draw(tmp_path, "10/a.png", "2/b10.JPG", "2/b9.png", "2/deep/er/c.webp"))
    assert manifest.classes == ("2", "10")
    assert names(manifest) == ["2/b9.png", "2/b10.JPG", "2/deep/er/c.webp", "10/a.png"]
    assert manifest.labels.tolist() == [0, 0, 0, 1]
    assert manifest.counts() == {"2": 3, "10": 1}
    assert all(item.path.is_absolute() and item.path.is_file() for item in manifest.items)
    assert manifest.groups is None
    assert manifest.notices == ()


def test_hidden_folders_and_files_are_no_classes_and_no_pictures(tmp_path):
    draw(tmp_path, "a/1.png", "b/2.png", ".ipynb_checkpoints/3.png", "__MACOSX/4.png", "a/.ipynb_checkpoints/5.png")
    for junk in (".DS_Store", "Thumbs.db", "a/._1.png"):
        (tmp_path / junk).write_bytes(b"junk")
    manifest = scan(tmp_path)
    assert manifest.classes == ("a", "b")
    assert names(manifest) == ["a/1.png", "b/2.png"]
    (notice,) = manifest.notices
    assert "Hidden folders passed over: 3 (.ipynb_checkpoints" in notice


def test_pictures_beside_the_class_folders_are_left_out_and_named(tmp_path):
    manifest = scan(draw(tmp_path, "a/1.png", "b/2.png", "x1.png", "x2.png", "x3.png", "x4.png"))
    assert len(manifest) == 2
    (notice,) = manifest.notices
    assert "beside the class folders: 4 (x1.png, x2.png, x3.png and 1 more)" in notice


def test_what_is_left_out_is_counted_by_its_suffix(tmp_path):
    draw(tmp_path, "a/1.png", "b/2.png")
    for name in ("a/2.svg", "a/3.SVG", "b/4.psd", "a/readme.txt", "b/NOTES"):
        (tmp_path / name).write_text("no picture")
    others, beside = scan(tmp_path).notices
    assert "2 .svg, 1 .psd, 1 without suffix (a/2.svg, a/3.SVG, b/4.psd and 1 more)" in others
    assert "1 .txt (a/readme.txt)" in beside


def test_a_folder_without_pictures_says_what_it_holds_instead(tmp_path):
    for name in ("a/1.svg", "b/2.svg", "b/3.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no picture")
    assert "there are 2 .svg, 1 .txt" in refusal(tmp_path, NoImages)


@pytest.mark.parametrize("name", ["1.jfif", "1.JPE", "1.ppm", "1.pgm", "1.tga", "1.jp2", "1.gif", "1.dcm", "1.heic"])
def test_usual_suffixes_of_pictures_are_known(tmp_path, name):
    draw(tmp_path, "b/2.png")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).touch()
    assert names(scan(tmp_path)) == [f"a/{name}", "b/2.png"]


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619.2.55"])
def test_a_picture_without_suffix_is_known_by_its_first_bytes(tmp_path, name):
    draw(tmp_path, "b/2.png")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes(bytes(128) + b"DICM")
    assert names(scan(tmp_path)) == [f"a/{name}", "b/2.png"]


def test_names_in_any_script_and_of_any_length_work(tmp_path):
    classes = ("котики", "猫 と 犬", "x" * 200)
    manifest = scan(draw(tmp_path, *(f"{name}/ä b.png" for name in classes)))
    assert set(manifest.classes) == set(classes)


def test_links_to_pictures_and_folders_work_and_loops_end(tmp_path):
    draw(tmp_path / "data", "a/1.png", "b/2.png")
    draw(tmp_path / "elsewhere", "3.png")
    (tmp_path / "data/a/link.png").symlink_to(tmp_path / "elsewhere/3.png")
    (tmp_path / "data/b/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/b/loop").symlink_to(tmp_path / "data")
    assert names(scan(tmp_path / "data")) == ["a/1.png", "a/link.png", "b/2.png", "b/more/3.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no names that are not text")
def test_a_name_that_is_not_text_is_left_out_with_a_notice(tmp_path):
    draw(tmp_path, "a/1.png", "b/2.png")
    try:
        Path(os.fsdecode(bytes(tmp_path) + b"/a/\xff.png")).touch()
    except OSError:
        pytest.skip("this file system takes only names that are text")
    manifest = scan(tmp_path)
    assert len(manifest) == 2
    assert "not valid text" in manifest.notices[0]


def test_folders_that_do_not_say_the_class_are_refused_with_the_next_step(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none")
    assert "holds 0 pictures in 0 folders" in refusal(draw(tmp_path, "empty") / "empty", NoImages)
    assert "holds 2 pictures but no class folders" in refusal(draw(tmp_path / "flat", "1.png", "2.png"), NoImages)
    assert "one class only, 'a' (2 pictures)" in refusal(draw(tmp_path / "one", "a/1.png", "a/2.png"))
    assert "class folder c of" in refusal(draw(tmp_path / "hollow", "a/1.png", "b/1.png", "c"))
    assert "neither a folder nor a table" in refusal(draw(tmp_path, "picture.png") / "picture.png")


@pytest.mark.parametrize("inner", ["images", "train"])
def test_a_folder_too_far_up_is_told_which_one_is_meant(tmp_path, inner):
    draw(tmp_path, f"{inner}/a/1.png", f"{inner}/b/2.png")
    assert f"is {tmp_path / inner} the one you meant?" in refusal(tmp_path)


def test_keeping_some_items_shifts_no_label(tmp_path):
    manifest = scan(draw(tmp_path, "a/1.png", "b/2.png", "c/3.png")).keep([2, 0])
    assert names(manifest) == ["c/3.png", "a/1.png"]
    assert manifest.classes == ("a", "b", "c")
    assert manifest.labels.tolist() == [2, 0]


# split folders


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_split_folders_give_the_parts(tmp_path, val):
    draw(tmp_path, "train/a/1.png", "train/b/2.png", f"{val}/a/3.png", f"{val}/b/4.png", "test/a/5.png", "test/b/6.png")
    manifest = scan(tmp_path)
    assert manifest.classes == ("a", "b")
    assert [manifest.counts(part) for part in ("train", "val", "test")] == [{"a": 1, "b": 1}] * 3
    assert manifest.part("test").dtype == np.int64


def test_a_test_folder_without_one_class_shifts_no_index(tmp_path):
    manifest = scan(draw(tmp_path, "train/a/1.png", "train/b/2.png", "train/c/3.png", "test/c/4.png", "test/b"))
    assert manifest.classes == ("a", "b", "c")
    assert manifest.labels[manifest.part("test")].tolist() == [2]


def test_a_class_that_train_lacks_is_refused(tmp_path):
    draw(tmp_path, "train/a/1.png", "train/b/2.png", "test/a/3.png", "test/z/4.png")
    assert "has the class 'z' in test but not in train" in refusal(tmp_path)


def test_validation_alone_becomes_the_test_part_and_is_told(tmp_path):
    manifest = scan(draw(tmp_path, "train/a/1.png", "train/b/2.png", "val/a/3.png", "val/b/4.png"))
    assert len(manifest.part("test")) == 2
    assert len(manifest.part("val")) == 0
    assert "is used as the test part, since there is no test part" in manifest.notices[0]


def test_train_may_be_a_class_of_vehicles(tmp_path):
    assert scan(draw(tmp_path, "train/1.png", "car/2.png")).classes == ("car", "train")


def test_unclear_split_folders_are_refused(tmp_path):
    train = ("train/a/1.png", "train/b/2.png")
    assert "also pictures in extra" in refusal(draw(tmp_path / "1", *train, "test/a/3.png", "extra/a/4.png"))
    assert "two folders of one part" in refusal(draw(tmp_path / "2", *train, "val/a/3.png", "valid/a/4.png"))
    assert "holds no pictures in class folders" in refusal(draw(tmp_path / "3", "train/1.png", "test/a/3.png"))
    assert "class folder train/c" in refusal(draw(tmp_path / "4", *train, "train/c", "test/a/3.png"))


# groups


def test_groups_are_the_match_or_its_first_part(tmp_path):
    draw(tmp_path, "a/P1_x.png", "a/P2_x.png", "b/P1_y.png")
    assert scan(tmp_path, Reading(groups=r"^P\d+")).groups == ["P1", "P2", "P1"]
    assert scan(tmp_path, Reading(groups=r"^P(\d+)")).groups == ["1", "2", "1"]


def test_groups_that_do_not_match_every_file_are_refused(tmp_path):
    draw(tmp_path, "a/P1.png", "a/Q1.png", "b/P2.png")
    assert "do not match 1 of 3 file names: a/Q1.png" in refusal(tmp_path, groups=r"P\d")
    assert r"The groups 'P\d' do not" in refusal(tmp_path, groups=r"P\d")  # as it was typed, no backslash doubled
    assert r"The groups '\d(' cannot be read as a regular expression" in refusal(tmp_path, groups=r"\d(")


# tables


COLUMNS = {"path": ["p/1.png", "p/2.png", "p/3.png"], "label": ["10", "2", "10"]}


@pytest.fixture
def pictures(tmp_path):
    return draw(tmp_path, "p/1.png", "p/2.png", "p/3.png")


@pytest.mark.parametrize(("name", "delimiter"), [("t.csv", ","), ("t.csv", ";"), ("t.tsv", "\t"), ("t.CSV", ",")])
def test_a_text_table_gives_the_items(pictures, name, delimiter):
    manifest = scan(write_table(pictures / name, COLUMNS, delimiter))
    assert manifest.classes == ("2", "10")
    assert names(manifest) == COLUMNS["path"]
    assert manifest.labels.tolist() == [1, 0, 1]
    assert manifest.root == pictures


def test_a_parquet_table_gives_the_same(pictures):
    pa.parquet.write_table(pa.table({**COLUMNS, "label": [10, 2, 10]}), pictures / "t.parquet")
    assert scan(pictures / "t.parquet").items == scan(write_table(pictures / "t.csv", COLUMNS)).items


def test_columns_are_found_by_their_usual_names(pictures):
    columns = {
        "File": COLUMNS["path"],
        "Class": ["a", "b", "a"],
        "Subset": ["training", "Train", "testing"],
        "patient": ["x", "y", "z"],
    }
    manifest = scan(write_table(pictures / "t.csv", columns))
    assert [item.part for item in manifest.items] == ["train", "train", "test"]
    assert manifest.groups == ["x", "y", "z"]
    assert "Grouped by the column 'patient'" in manifest.notices[0]


def test_groups_may_name_a_column_or_match_the_file_names(pictures):
    table = write_table(pictures / "t.csv", {**COLUMNS, "Slide": ["s", "s", "r"]})
    assert scan(table, Reading(groups="Slide")).groups == ["s", "s", "r"]
    assert scan(table, Reading(groups=r"\d")).groups == ["1", "2", "3"]
    assert "nor is it a column of t.csv" in refusal(table, groups="slid")


def test_a_tables_validation_part_alone_becomes_the_test_part(pictures):
    manifest = scan(write_table(pictures / "t.csv", {**COLUMNS, "split": ["train", "train", "valid"]}))
    assert manifest.items[2].part == "test"
    assert "is used as the test part" in manifest.notices[0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["p/1.png"], "kind": ["a"]}, "no label column: found path, kind; expected one of label, class"),
        ({"where": ["p/1.png"], "label": ["a"]}, "no path column"),
        ({**COLUMNS, "path": ["p/1.png", "no.png", "none.png"]}, "2 of 3 files listed in"),
        (
            {**COLUMNS, "path": ["p/1.png", "p/1.png", "p/3.png"]},
            "lists 1 pictures with more than one label: p/1.png (10, 2",
        ),
        ({**COLUMNS, "label": ["a", "", "b"]}, "The column 'label' of"),
        ({**COLUMNS, "label": ["a", "a", "a"]}, "one class only"),
        ({**COLUMNS, "split": ["train", "tset", "test"]}, "holds 'tset'; expected train, val or test"),
        ({**COLUMNS, "split": ["test", "test", "test"]}, "in test but not in train"),
        ({"path": [], "label": []}, "no rows"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(pictures, columns, message):
    assert message in refusal(write_table(pictures / "t.csv", columns))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b"path,label\np/1.png\n"])
def test_files_that_are_no_tables_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refusal(tmp_path / name)


# real pictures

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real pictures are not beside this project")
def test_the_malaria_cells_come_from_forty_patients():
    manifest = scan(SHARED / "malaria", Reading(groups=r"^C\d+"))
    assert manifest.counts() == {"Parasitized": 2579, "Uninfected": 2754}
    assert len(set(manifest.groups)) == 40


# names that cannot be seen, or told apart


@pytest.mark.parametrize("blank", [" ", "\u200b", "\u3000\r"])
def test_a_class_whose_name_cannot_be_seen_is_refused(tmp_path, blank):
    assert "cannot be seen" in refusal(draw(tmp_path, "a/1.png", f"{blank}/2.png"))


@pytest.mark.parametrize(("one", "other"), [("a", "a "), ("b c", "b  c"), ("é", "e\u0301"), ("fine", "fi\u200bne")])
def test_classes_that_look_the_same_are_refused_with_what_differs(tmp_path, one, other):
    said = refusal(draw(tmp_path, f"{one}/1.png", f"{other}/2.png"))
    assert ascii(one) in said
    assert ascii(other) in said
