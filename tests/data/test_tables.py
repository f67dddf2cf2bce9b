"""Tables as people have them are read as they are meant, or refused in one line that names the option that helps."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from regraft.data import Reading, scan, sheets
from regraft.data.columns import read_columns
from regraft.data.sheets import TABLE_SUFFIXES
from regraft.errors import DataError, MissingExtra, NoImages

COUNT = 24


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`images/img_0000.jpg` and on; every second one is of the second class."""
    (tmp_path / "images").mkdir()
    for number in range(COUNT):
        Image.new("L", (1, 1), number).save(tmp_path / "images" / f"{stem(number)}.jpg")
    return tmp_path


def stem(number: int) -> str:
    return f"img_{number:04d}"


def kind(number: int) -> str:
    return "größer" if number % 2 else "coarse"


def path(number: int) -> str:
    return f"images/{stem(number)}.jpg"


NUMBERS = range(COUNT)
ROWS = [(path(number), kind(number)) for number in NUMBERS]


def write(table: Path, header: str, rows, delimiter: str = ",", encoding: str = "utf-8", end: str = "\r\n") -> Path:
    lines = [header, *(delimiter.join(map(str, row)) for row in rows)]
    table.write_bytes("".join(line + end for line in lines if line).encode(encoding))
    return table


def meant(data: Path, **options: object):
    """Scan a table and check that it gives every picture its class; return the manifest."""
    manifest = scan(data, Reading(**options))
    assert manifest.counts() == {"coarse": COUNT // 2, "größer": COUNT // 2}
    assert all(item.path.is_file() for item in manifest.items)
    found = {item.path.stem: manifest.classes[item.label] for item in manifest.items}
    assert found == {stem(number): kind(number) for number in NUMBERS}
    return manifest


def refusal(data: Path, error: type[Exception] = DataError, **options: object) -> str:
    with pytest.raises(error) as caught:
        scan(data, Reading(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# columns


PATHS = (
    *(
        "path",
        "id",
        "image_id",
        "Image ID",
        "image",
        "img",
        "file_name",
        "filename",
        "filepath",
        "image_path",
        "imageId",
    ),
    *("Image Index", "FILE", "isic_id", "id_code"),
)
LABELS = (
    "label",
    "target",
    "class",
    "Class Name",
    "diagnosis",
    "breed",
    "category",
    "dx",
    "species",
    "labels",
    "level",
)


@pytest.mark.parametrize("header", [f"{name},label" for name in PATHS] + [f"path,{name}" for name in LABELS])
def test_usual_columns_are_found_without_options(folder, header):
    meant(write(folder / "t.csv", header, ROWS))


def test_unusual_columns_are_named_and_the_refusal_says_how(folder):
    table = write(folder / "t.csv", "bild,befund", ROWS)
    assert "path_column='bild'" in refusal(table)
    assert "label_column=NAME" in refusal(table, path_column="bild")
    meant(table, path_column="bild", label_column="befund")
    meant(table, path_column="Bild", label_column=" BEFUND ")
    assert "has no column 'bidl': found bild, befund" in refusal(table, path_column="bidl", label_column="befund")


def test_of_several_columns_that_may_be_paths_the_one_with_files_is_taken(folder):
    rows = [(number, f"s3-{number}", *ROWS[number]) for number in NUMBERS]
    meant(write(folder / "t.csv", "id,name,image,label", rows))


def test_two_columns_of_different_files_are_refused_by_name(folder):
    rows = [(path(number), path((number + 1) % COUNT), kind(number)) for number in NUMBERS]
    table = write(folder / "t.csv", "image,file,label", rows)
    assert "path_column=" in refusal(table)
    meant(table, path_column="image")


def test_a_number_and_a_name_of_the_same_class_are_one_label_and_the_name_is_taken(folder):
    rows = [(path(number), number % 2, kind(number)) for number in NUMBERS]
    (notice,) = meant(write(folder / "t.csv", "path,class_id,class_name", rows)).notices
    assert "'class_name'" in notice


def test_two_different_labels_are_refused_until_one_is_named(folder):
    rows = [(path(number), kind(number), number % 3) for number in NUMBERS]
    table = write(folder / "t.csv", "path,class,category", rows)
    assert "Name one: label_column=" in refusal(table)
    meant(table, label_column="class")


def test_a_label_beside_a_diagnosis_is_the_label(folder):
    rows = [(path(number), kind(number), number % 3) for number in NUMBERS]
    meant(write(folder / "t.csv", "image_id,label,variety", rows))


def test_a_place_in_the_picture_is_no_label(folder):
    rows = [(path(number), number % 5, number % 3, 2.5) for number in NUMBERS]
    assert "no label column" in refusal(write(folder / "t.csv", "filename,x,y,radius", rows))


def test_row_numbers_that_pandas_writes_are_no_column(folder):
    meant(write(folder / "t.csv", ",path,label", [(number, *ROWS[number]) for number in NUMBERS]))


def test_two_columns_of_one_name_are_refused(folder):
    assert "two columns called 'label'" in refusal(write(folder / "t.csv", "path,label,label", [("a", "b", "c")]))


def test_a_pattern_takes_the_place_of_a_label_column(folder):
    manifest = scan(
        write(folder / "t.csv", "path", [[path(number)] for number in NUMBERS]), Reading(label_pattern=r"(\d)\.")
    )
    assert manifest.classes == tuple("0123456789")


# files


@pytest.mark.parametrize("images", ["images", "", "above"])
def test_ids_without_suffix_are_completed_below_the_folder_that_is_named(folder, images, monkeypatch):
    table = write(folder / "labels.csv", "id,breed", [(stem(number), kind(number)) for number in NUMBERS])
    if images == "above":  # as HAM10000, in more than one folder
        for part in ("part_1", "part_2"):
            (folder / "above" / part).mkdir(parents=True)
        for number in NUMBERS:
            name = f"{stem(number)}.jpg"
            (folder / "images" / name).rename(folder / "above" / f"part_{number % 2 + 1}" / name)
    if images == "":
        monkeypatch.chdir(folder / "images")
        images = "."
    line = refusal(table)
    assert "images=" in line
    meant(table, images=Path(images))
    meant(table, images=(folder / images if images != "." else folder / "images").absolute())


def test_a_folder_beside_the_table_that_has_the_files_is_proposed(folder):
    table = write(folder / "labels.csv", "id,breed", [(stem(number), kind(number)) for number in NUMBERS])
    assert f"images='{folder / 'images'}'" in refusal(table)


def test_an_id_of_two_files_is_refused_and_the_whole_name_is_not(folder):
    Image.new("L", (1, 1)).save(folder / "images" / f"{stem(3)}.png")
    table = write(folder / "t.csv", "id,label", [(stem(number), kind(number)) for number in NUMBERS])
    assert "'img_0003' in" in refusal(table, images=folder / "images")
    meant(write(folder / "t.csv", "path,label", ROWS))


SPELLINGS = {
    "backslashes": lambda number, folder: rf"images\{stem(number)}.jpg",
    "absolute": lambda number, folder: folder / path(number),
    "a file address": lambda number, folder: (folder / path(number)).as_uri(),
    "another case": lambda number, folder: f"images/{stem(number)}.JPG",
    "no suffix": lambda number, folder: f"images/{stem(number)}",
    "a dot": lambda number, folder: f"./{path(number)}",
    "another machine": lambda number, folder: f"/kaggle/input/set/{path(number)}",
    "another system": lambda number, folder: rf"C:\Users\me\set\images\{stem(number)}.jpg",
    "the folder above": lambda number, folder: f"set/{path(number)}",
    "quoted": lambda number, folder: f'"{path(number)}"',
    "blanks": lambda number, folder: f" {path(number)} ",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_files_are_found_however_their_paths_are_spelled(folder, spelling):
    rows = [(SPELLINGS[spelling](number, folder), kind(number)) for number in NUMBERS]
    manifest = meant(write(folder / "t.csv", "path,label", rows))
    assert manifest.items[0].name == path(0)


@pytest.mark.parametrize("images", [None, Path("images")])
def test_ids_that_lost_their_zeros_and_other_suffixes_are_told(folder, images):
    for number in NUMBERS:
        (folder / path(number)).rename(folder / "images" / f"{number:05d}.jpg")
    above = "" if images else "images/"
    rows = [(f"{above}{number}", kind(number)) for number in NUMBERS]
    line = refusal(write(folder / "t.csv", "path,label", rows), images=images)
    assert "There is 00000.jpg: the table has lost leading zeros" in line
    rows = [(f"{above}{number:05d}.png", kind(number)) for number in NUMBERS]
    line = refusal(write(folder / "t.csv", "path,label", rows), images=images)
    assert "There is 00000.jpg, of another suffix: leave the suffix out" in line
    meant_rows = [(f"{above}{number:05d}", kind(number)) for number in NUMBERS]
    assert len(scan(write(folder / "t.csv", "path,label", meant_rows), Reading(images=images))) == COUNT


def test_zeros_lost_of_files_in_folders_within_are_told(folder):
    (folder / "above").mkdir()
    (folder / "images").rename(folder / "above" / "images")
    for number in NUMBERS:
        (folder / "above" / path(number)).rename(folder / "above" / "images" / f"{number:05d}.jpg")
    table = write(folder / "t.csv", "id,label", [(number, kind(number)) for number in NUMBERS])
    assert "There is 00000.jpg: the table has lost leading zeros" in refusal(table, images=folder / "above")


def test_files_of_quite_other_names_are_told(folder):
    table = write(folder / "t.csv", "path,label", [(f"x{number}.jpg", kind(number)) for number in NUMBERS])
    assert f"in {folder / 'images'} lie img_0000.jpg, img_0001.jpg" in refusal(table, images=folder / "images")


def test_a_picture_written_in_two_ways_is_one(folder):
    rows = [*ROWS, (f"images/../{path(3)}", "größer")]
    (notice,) = meant(write(folder / "t.csv", "path,label", rows)).notices
    assert "1 rows of" in notice
    rows[-1] = (f"images/../{path(3)}", "coarse")
    assert "more than one label" in refusal(write(folder / "t.csv", "path,label", rows))


def test_a_few_missing_files_stay_in_the_list_and_many_are_refused(folder):
    table = write(folder / "t.csv", "path,label", ROWS)
    (folder / path(5)).unlink()
    assert [item.name for item in scan(table).items if not item.path.exists()] == [path(5)]
    for number in range(6, 20):
        (folder / path(number)).unlink()
    assert "15 of 24 files listed in" in (line := refusal(table))
    assert "images=DIR" in line


def test_web_addresses_are_no_files(folder):
    table = write(folder / "t.csv", "path,label", [(f"https://example.org/{number}.jpg", "a") for number in NUMBERS])
    assert "download them first" in refusal(table)


def test_images_that_are_no_folder_are_refused(folder):
    table = write(folder / "t.csv", "path,label", ROWS)
    assert "images='nowhere' is no folder" in refusal(table, images=Path("nowhere"))


# how it was saved


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_usual_encoding_and_delimiter_is_read(folder, encoding, delimiter):
    manifest = meant(write(folder / "t.csv", delimiter.join(("path", "label")), ROWS, delimiter, encoding))
    told = encoding in ("latin-1", "cp1252")
    assert ["Windows-1252" in notice and "'größer'" in notice for notice in manifest.notices] == [True] * told


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\n\r\n", ",\n"])
def test_lines_may_end_in_any_way(folder, end):
    meant(write(folder / "t.csv", "path,label", ROWS, end=end))


ABOVE = ["sep=;\r\n", '"sep=;"\n', "# written by a program, 3 of 5\n# on Monday\n", "#\n\n"]


@pytest.mark.parametrize("above", ABOVE)
def test_what_programs_write_above_a_table_is_no_row_of_it(folder, above):
    meant(write(folder / "t.csv", f"{above}path;label", ROWS, ";", end="\n"))


def test_a_header_that_begins_with_a_comment_sign_is_one(folder):
    meant(write(folder / "t.csv", "#written so\n#path,label", ROWS, end="\n"))


@pytest.mark.parametrize(
    ("encoding", "label"),
    [
        ("mac-roman", "größer"),
        ("shift-jis", "ねこ"),
        ("shift-jis", "猫"),
        ("gbk", "小狗"),
        ("cp1251", "кот"),
        ("euc-kr", "개"),
    ],
)
def test_an_encoding_that_cannot_be_told_is_refused(folder, encoding, label):
    rows = [(path(number), label if number % 2 else "coarse") for number in NUMBERS]
    line = refusal(write(folder / "t.csv", "path,label", rows, encoding=encoding))
    assert "save it as UTF-8" in line


def test_a_decimal_comma_is_no_delimiter(folder):
    rows = [(*ROWS[number], f"0,{number}") for number in NUMBERS]
    meant(write(folder / "t.csv", "path;label;score", rows, ";"))


def test_a_list_of_two_columns_without_header_is_read_and_said(folder):
    (notice,) = meant(write(folder / "t.csv", "", ROWS)).notices
    assert "no header: column 1 is read as the path, column 2 as the label" in notice
    meant(write(folder / "t.txt", "", ROWS, " "))
    meant(write(folder / "t.csv", "", [row[::-1] for row in ROWS]))


def test_more_columns_without_header_are_named_by_number(folder):
    table = write(folder / "t.csv", "", [(number, *ROWS[number]) for number in NUMBERS])
    assert "label_column=" in refusal(table)
    meant(table, label_column="3")
    meant(table, path_column="2", label_column="3")


def test_excel_json_lines_and_parquet_say_the_same(folder):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("path", "label", "note"), *((*row, None) for row in ROWS), (None, None, None)]:
        book.active.append(row)
    book.create_sheet("empty")
    book.save(folder / "t.xlsx")
    records = [{"path": name, "label": label} for name, label in ROWS]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    (folder / "t.json").write_text(json.dumps(records), encoding="utf-8")
    pa.parquet.write_table(pa.Table.from_pylist(records), folder / "t.parquet")
    expected = meant(write(folder / "t.csv", "path,label", ROWS)).items
    for name in ("t.xlsx", "t.jsonl", "t.json", "t.parquet"):
        assert meant(folder / name).items == expected


def test_whole_numbers_of_a_spreadsheet_are_written_as_such(folder):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("path", "label"), *((name, float(number % 2)) for number, (name, _) in enumerate(ROWS))]:
        book.active.append(row)
    book.create_sheet("other").append(("path", "label"))
    book.save(folder / "t.xlsx")
    manifest = scan(folder / "t.xlsx")
    assert manifest.classes == ("0", "1")
    assert "2 sheets; the first, 'Sheet', is read. For another one, move it to the front" in manifest.notices[0]


def test_excel_without_its_package_names_the_pip_command(folder, monkeypatch):
    (folder / "t.xlsx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtra, match=r"pip install 'regraft\[excel\]'"):
        scan(folder / "t.xlsx")


def test_pictures_inside_a_parquet_file_are_told(folder):
    records = [{"image": {"bytes": b"x", "path": name}, "label": label} for name, label in ROWS]
    pa.parquet.write_table(pa.Table.from_pylist(records), folder / "t.parquet")
    assert "no path column: found label" in refusal(folder / "t.parquet")


@pytest.mark.parametrize("suffix", TABLE_SUFFIXES)
@given(content=st.binary(max_size=60))
def test_whatever_a_file_holds_it_is_a_table_or_refused_in_one_line(tmp_path_factory, suffix, content):
    table = tmp_path_factory.getbasetemp() / f"any{suffix}"
    table.write_bytes(content)
    try:
        read_columns(table)
    except DataError as error:
        refused = str(error)
    else:
        refused = ""
    assert "\n" not in refused


cells = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=6)


@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=5),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    delimiter=st.sampled_from(sheets.DELIMITERS),
)
def test_what_a_spreadsheet_writes_is_read_as_it_was(tmp_path_factory, rows, encoding, delimiter):
    import csv

    table = tmp_path_factory.getbasetemp() / "sheet.csv"
    with table.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows([("a", "b", "c"), *rows])
    assert read_columns(table) == {name: [row[at] for row in rows] for at, name in enumerate("abc")}


# parts and groups


def test_numbers_of_folds_are_no_parts_and_said(folder):
    rows = [(*row, number % 5) for number, row in enumerate(ROWS)]
    manifest = meant(write(folder / "t.csv", "path,label,fold", rows))
    assert {item.part for item in manifest.items} == {None}
    assert "'fold'" in manifest.notices[0]
    assert "--folds 5" in manifest.notices[0]
    assert "expected train, val or test" in refusal(folder / "t.csv", split_column="fold")


def test_a_column_of_parts_may_have_any_name_and_usual_words(folder):
    rows = [(*row, ("TRAINING", "train", "Test_set")[number % 3], number % 2) for number, row in enumerate(ROWS)]
    table = write(folder / "t.csv", "path,label,where,fold", rows)
    manifest = meant(table, split_column="where")
    assert (len(manifest.part("train")), len(manifest.part("test"))) == (16, 8)


YES_NO = [("1", "0"), ("True", "False"), ("yes", "no"), ("1.0", "0.0")]


@pytest.mark.parametrize(
    ("columns", "third"),
    [
        ({"is_train": "train"}, "test"),
        ({"isValid": "test"}, "train"),  # without a test part, the val part is the one that measures
        ({"is_test": "test"}, "train"),
        ({"is_train": "train", "is_test": "test"}, "val"),
        ({"train": "train", "valid": "val"}, "test"),
    ],
)
@pytest.mark.parametrize(("yes", "no"), YES_NO)
def test_columns_of_yes_and_no_tell_the_parts_and_it_is_said(folder, columns, third, yes, no):
    rows = [
        (*row, *(yes if number // 2 % 3 == at else no for at in range(len(columns)))) for number, row in enumerate(ROWS)
    ]
    manifest = meant(write(folder / "t.csv", ",".join(("path,label", *columns)), rows))
    told = [*columns.values(), third, third]
    assert [item.part for item in manifest.items] == [told[number // 2 % 3] for number in NUMBERS]
    assert ", ".join(columns) in " ".join(manifest.notices)


def test_a_column_of_yes_and_no_that_may_be_a_class_is_said_and_may_be_asked_for(folder):
    table = write(folder / "t.csv", "path,label,train", [(*row, number // 2 % 2) for number, row in enumerate(ROWS)])
    manifest = meant(table)
    assert {item.part for item in manifest.items} == {None}
    assert "--split-column train" in manifest.notices[0]
    assert len(meant(table, split_column="train").part("train")) == COUNT // 2


@pytest.mark.parametrize(("column", "words"), [("split", ("train", "test")), ("is_test", ("0", "1"))])
def test_a_row_that_tells_no_part_among_others_that_do_is_refused(folder, column, words):
    rows = [(*row, words[number // 2 % 2] if number else "NA") for number, row in enumerate(ROWS)]
    assert f"The column '{column}'" in (line := refusal(write(folder / "t.csv", f"path,label,{column}", rows)))
    assert "is empty in 1 of 24 rows" in line


def test_a_row_in_two_parts_is_refused_by_its_number(folder):
    rows = [(*row, number % 2, int(number == 5)) for number, row in enumerate(ROWS)]
    line = refusal(write(folder / "t.csv", "path,label,is_train,is_test", rows))
    assert "Row 6" in line
    assert "train and test" in line


def test_a_column_whose_words_are_parts_tells_them_whatever_it_is_called(folder):
    rows = [(*row, ("Training", "PublicTest")[number // 2 % 2]) for number, row in enumerate(ROWS)]
    manifest = meant(write(folder / "t.csv", "path,label,data_split", rows))
    assert len(manifest.part("test")) == COUNT // 2
    assert "data_split" in manifest.notices[0]


def test_two_columns_of_different_parts_are_refused_until_one_is_named(folder):
    parts = ("train", "test")
    rows = [(*row, parts[number // 2 % 2], parts[number // 4 % 2]) for number, row in enumerate(ROWS)]
    table = write(folder / "t.csv", "path,label,official,split", rows)
    assert "by split and by official" in refusal(table)
    meant(table, split_column="official")


def test_yes_and_no_beside_words_may_tell_less_and_nothing_else(folder):
    parts = ("train", "val", "test")
    rows = [(*row, parts[number // 2 % 3], int(number // 2 % 3 == 0)) for number, row in enumerate(ROWS)]
    manifest = meant(write(folder / "t.csv", "path,label,split,is_train", rows))
    assert [item.part for item in manifest.items] == [parts[number // 2 % 3] for number in NUMBERS]
    rows[0] = (*rows[0][:3], 0)
    assert "by split and by is_train" in refusal(write(folder / "t.csv", "path,label,split,is_train", rows))


@pytest.mark.parametrize("name", ["kfold", "Fold", "cv", "fold_id"])
def test_folds_under_any_usual_name_are_said_not_to_be_used(folder, name):
    rows = [(*row, number % 4 if number else "") for number, row in enumerate(ROWS)]
    assert "--folds 4" in meant(write(folder / "t.csv", f"path,label,{name}", rows)).notices[0]


NOTHING = ["NA", "nan", "NULL", "N/A", "<NA>", "#N/A", "-", "?", "none"]


@pytest.mark.parametrize("word", [*NOTHING, "unknown"])
def test_a_word_for_nothing_is_no_patient(folder, word):
    rows = [(*row, f"P{number // 4}" if number % 7 else word) for number, row in enumerate(ROWS)]
    manifest = meant(write(folder / "t.csv", "path,label,patient", rows), groups="patient")
    assert len(set(manifest.groups)) == 6 + 4
    assert f"says '{word}' in 4 of 24 rows" in manifest.notices[-1]


@pytest.mark.parametrize("word", NOTHING)
def test_a_word_for_nothing_is_no_class(folder, word):
    rows = [(path(number), word if number in (4, 7) else kind(number)) for number in NUMBERS]
    rows += [(path(number), kind(number)) for number in NUMBERS if number not in (4, 7)]
    manifest = scan(write(folder / "t.csv", "path,label", rows))
    assert (len(manifest), manifest.classes) == (COUNT - 2, ("coarse", "größer"))
    assert f"says '{word}': 2 of 46 rows" in manifest.notices[0]
    line = refusal(write(folder / "t.csv", "path,label", rows[:COUNT]))
    assert f"says '{word}' in 2 of 24 rows (if that is a class, give it another name)" in line


@pytest.mark.parametrize("word", ["unknown", "Unlabelled"])
def test_a_class_that_may_say_that_nothing_is_known_is_said(folder, word):
    rows = [(path(number), word if number % 2 else "coarse") for number in NUMBERS]
    manifest = scan(write(folder / "t.csv", "path,label", rows))
    assert set(manifest.classes) == {word, "coarse"}
    assert f"says '{word}', which is read as a class" in manifest.notices[0]


def test_an_unlabelled_test_part_of_r_is_left_out(folder):
    rows = [(*row, "train") if number < 16 else (row[0], "NA", "test") for number, row in enumerate(ROWS)]
    assert len(scan(write(folder / "t.csv", "path,label,split", rows))) == 16


def test_a_table_in_which_no_row_has_a_label_is_refused(folder):
    rows = [(path(number), "", "test") for number in NUMBERS]
    assert "is empty in 24 of 24 rows" in refusal(write(folder / "t.csv", "path,label,split", rows))


def test_pictures_without_a_patient_are_groups_of_their_own(folder):
    rows = [(*row, f"P{number // 4}" if number % 7 else "") for number, row in enumerate(ROWS)]
    table = write(folder / "t.csv", "path,label,patient", rows)
    for options, notices in (({"groups": "patient"}, 1), ({}, 2)):
        manifest = meant(table, **options)
        assert len(set(manifest.groups)) == 6 + 4
        assert manifest.groups[7] == path(7)
        assert len(manifest.notices) == notices
        assert "empty in 4 of 24 rows" in manifest.notices[-1]


def test_patients_written_in_two_ways_are_said(folder):
    rows = [(*row, f"{'Pp'[number % 2]}{number // 4}") for number, row in enumerate(ROWS)]
    manifest = meant(write(folder / "t.csv", "path,label,patient", rows))
    assert "Groups that may be one, written in two ways: 'P0' and 'p0'" in manifest.notices[-1]


def test_one_source_for_all_groups_nothing(folder):
    table = write(folder / "t.csv", "path,label,source", [(*row, "kaggle") for row in ROWS])
    assert meant(table).groups is None


def test_a_column_of_groups_that_is_empty_is_refused_where_it_was_asked_for(folder):
    table = write(folder / "t.csv", "path,label,patient", [(*row, "") for row in ROWS])
    assert "Leave out groups=" in refusal(table, groups="patient")
    assert meant(table).groups is None


# rows


def test_a_row_that_is_there_twice_counts_once_and_is_said(folder):
    (notice,) = meant(write(folder / "t.csv", "path,label", [*ROWS, ROWS[3], ROWS[3], ROWS[4]])).notices
    assert "3 rows of" in notice
    assert path(3) in notice


def test_a_picture_with_two_labels_is_refused_by_name(folder):
    line = refusal(write(folder / "t.csv", "path,label", [*ROWS, (path(3), "coarse")]))
    assert f"{path(3)} (größer, coarse)" in line


def test_a_few_rows_without_label_are_left_out_and_many_are_refused(folder):
    rows = [(path(number), "" if number == 4 else kind(number)) for number in NUMBERS]
    manifest = scan(write(folder / "t.csv", "path,label", rows))
    assert len(manifest) == COUNT - 1
    assert "is empty: 1 of 24 rows" in manifest.notices[0]
    rows = [(name, "" if number < 4 else label) for number, (name, label) in enumerate(ROWS)]
    assert "label_column=NAME" in refusal(write(folder / "t.csv", "path,label", rows))


def test_a_test_part_without_labels_is_left_out(folder):
    rows = [
        (path(number), kind(number) if number < 16 else "", "train" if number < 16 else "test") for number in NUMBERS
    ]
    manifest = scan(write(folder / "t.csv", "path,label,split", rows))
    assert len(manifest) == 16
    assert "is empty: 8 of 24 rows" in manifest.notices[0]
    rows[0] = (path(0), "", "train")
    assert "is empty in 9 of 24 rows" in refusal(write(folder / "t.csv", "path,label,split", rows))


def test_a_table_without_rows_is_refused(folder):
    assert "no rows" in refusal(write(folder / "t.csv", "path,label", []), NoImages)


# labels that are no classes


@pytest.mark.parametrize(
    "both",
    [
        *("coarse|größer", "coarse;größer", '"coarse,größer"', '"coarse, größer"', "coarse größer", "coarse+größer"),
        *("coarse/größer", "coarse / größer", "Coarse & größer", "coarse and größer", "größer und coarse"),
    ],
)
def test_several_labels_in_a_cell_are_refused_by_name(folder, both):
    rows = [(name, both if number % 3 == 0 else label) for number, (name, label) in enumerate(ROWS)]
    line = refusal(write(folder / "t.csv", "path,labels", rows))
    assert "several labels in one cell" in line
    assert both.strip('"') in line


def test_lists_of_labels_are_refused_and_lists_of_one_are_labels(folder):
    for column in (["['coarse', 'größer']", "[1, 2]", "[]"], [["coarse", "größer"], ["x", "y"], []]):
        records = [{"path": name, "label": column[number % 3]} for number, (name, _) in enumerate(ROWS)]
        (folder / "t.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
        assert "several labels" in refusal(folder / "t.jsonl")
    records = [{"path": name, "label": [label]} for name, label in ROWS]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    meant(folder / "t.jsonl")


def test_few_words_in_many_combinations_are_several_labels(folder):
    words = [["haze", "clear", "cloudy"][number % 3] for number in NUMBERS]
    more = ["", " road", " water", " road water", " farm", " road farm", " water farm", " road water farm"]
    rows = [(path(number), words[number] + more[number // 3]) for number in NUMBERS]
    assert "several labels" in refusal(write(folder / "t.csv", "image_name,tags", rows))


@pytest.mark.parametrize(
    "names",
    [
        ("golden retriever", "labrador retriever"),
        ("fresh apple", "rotten apple"),
        ("tench, Tinca tinca", "crane, bird"),
    ],
)
def test_names_of_several_words_are_one_class(folder, names):
    rows = [(path(number), f'"{names[number % 2]}"') for number in NUMBERS]
    assert scan(write(folder / "t.csv", "path,label", rows)).classes == tuple(sorted(names))


@pytest.mark.parametrize(
    ("column", "names", "doubtful"),
    [
        ("label", ("haze primary", "clear primary", "cloudy", "clear primary road"), "clear primary road"),
        ("label", ("dog", "ship", "dog_ship"), "dog_ship"),
        ("tags", ("haze primary", "cloudy"), "haze primary"),
    ],
)
def test_what_may_be_several_labels_is_said(folder, column, names, doubtful):
    rows = [(path(number), names[number % len(names)]) for number in NUMBERS]
    manifest = scan(write(folder / "t.csv", f"path,{column}", rows))
    assert set(manifest.classes) == set(names)
    assert f"may hold several labels in one cell, such as '{doubtful}'" in manifest.notices[0]


@pytest.mark.parametrize("names", [("infected", "not infected"), ("stop", "stop and go"), ("AC/DC", "Abba")])
def test_a_name_of_several_words_beside_one_of_them_is_a_class(folder, names):
    rows = [(path(number), names[number % 2]) for number in NUMBERS]
    manifest = scan(write(folder / "t.csv", "path,label", rows))
    assert (set(manifest.classes), manifest.notices) == (set(names), ())


@pytest.mark.parametrize("form", ["{}", "{}.0"])
def test_a_column_for_each_class_is_refused_by_name(folder, form):
    rows = [(stem(number), *(form.format(int(number % 3 == at)) for at in range(3))) for number in NUMBERS]
    line = refusal(write(folder / "images" / "t.csv", "image,MEL,NV,BCC", rows))
    assert "MEL, NV, BCC" in line
    assert "idxmax" in line
    assert "label_column=" in line


def test_several_ones_in_a_row_are_several_labels(folder):
    rows = [(path(number), int(number % 2 == 0), int(number % 3 == 0)) for number in NUMBERS]
    line = refusal(write(folder / "t.csv", "filename,road,water", rows))
    assert "several labels a picture: row 1 is road and water" in line
    assert scan(folder / "t.csv", Reading(label_column="road")).classes == ("0", "1")


def test_numbers_on_a_scale_are_no_classes_and_grades_are(folder):
    scale = [(path(number), number * 0.37) for number in NUMBERS]
    assert "a scale, no classes" in refusal(write(folder / "t.csv", "path,label", scale))
    grades = [(path(number), (number % 3) / 2) for number in NUMBERS]
    assert scan(write(folder / "t.csv", "path,grade", grades)).classes == ("0.0", "0.5", "1.0")


def test_an_identifier_is_no_class_but_may_be_one_to_measure(folder):
    table = write(folder / "t.csv", "path,label", [(path(number), f"x{number}") for number in NUMBERS])
    assert "looks like an identifier" in refusal(table)
    assert len(scan(table, Reading(learn=False)).classes) == COUNT


# inside an image folder


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_metadata_in_a_folder_of_pictures_names_their_classes(folder, name):
    records = [{"file_name": f"{stem(number)}.jpg", "label": kind(number)} for number in NUMBERS]
    table = folder / "images" / name
    if name.endswith("jsonl"):
        table.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    else:
        write(table, "file_name,label", [record.values() for record in records])
    assert [item.name for item in meant(folder / "images").items] == [f"{stem(number)}.jpg" for number in NUMBERS]
    meant(table)


def test_metadata_in_each_part_gives_the_parts(folder):
    for part, numbers in (("train", NUMBERS[:16]), ("test", NUMBERS[16:])):
        (folder / "set" / part).mkdir(parents=True)
        for number in numbers:
            (folder / path(number)).rename(folder / "set" / part / f"{stem(number)}.jpg")
        rows = [(f"{stem(number)}.jpg", kind(number)) for number in numbers]
        write(folder / "set" / part / "metadata.csv", "file_name,label", rows)
    manifest = meant(folder / "set")
    assert (len(manifest.part("train")), len(manifest.part("test"))) == (16, 8)
    assert manifest.items[0].name == "test/img_0016.jpg"


def test_metadata_without_labels_leaves_the_classes_to_the_folders(folder):
    for number in NUMBERS:
        (folder / kind(number)).mkdir(exist_ok=True)
        (folder / path(number)).rename(folder / kind(number) / f"{stem(number)}.jpg")
    rows = [(f"{kind(number)}/{stem(number)}.jpg", f"a picture of {number}") for number in NUMBERS]
    write(folder / "metadata.csv", "file_name,text", rows)
    (folder / "images").rmdir()
    assert "no label column" in meant(folder).notices[0]
    write(folder / "metadata.csv", "file_name,label", [(name, number % 3) for number, (name, _) in enumerate(rows)])
    assert "layout='classes'" in refusal(folder)
    meant(folder, layout="classes")


def test_a_table_that_names_other_classes_than_the_folders_beside_it_is_not_passed_over(folder):
    for number in NUMBERS:
        part = folder / f"part_{number // 12 + 1}"
        part.mkdir(exist_ok=True)
        (folder / path(number)).rename(part / f"{stem(number)}.jpg")
    (folder / "images").rmdir()
    table = write(folder / "list.csv", "image_id,dx", [(stem(number), kind(number)) for number in NUMBERS])
    assert f"{table} with images='{folder}'" in (line := refusal(folder))
    assert "layout='classes'" in line
    meant(table, images=folder)
    assert scan(folder, Reading(layout="classes")).classes == ("part_1", "part_2")
    write(table, "image_id,class_id", [(stem(number), number // 12) for number in NUMBERS])  # the same classes
    assert scan(folder).classes == ("part_1", "part_2")
    write(table, "image_id,label", [(stem(number), number % 3) for number in NUMBERS[:16]])  # of some pictures only
    assert scan(folder).classes == ("part_1", "part_2")
