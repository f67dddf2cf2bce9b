"""Folders as people have them are read as they are meant, or refused in one line that names the way out."""

import random
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from regraft.data import Reading, scan
from regraft.data.rows import part_called
from regraft.errors import DataError


def fill(folder: Path, *classes: str, first: int = 0, count: int = 6) -> Path:
    """Draw FOLDER/<class>/<number>.png, no two pictures alike."""
    for name in classes or ("cat", "dog"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            picture(folder / name / f"{number}.png")
    return folder


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = random.Random(str(path)).randbytes(192)
    Image.frombytes("RGB", (8, 8), noise).save(path, "png")
    return path


def flat(folder: Path, count: int = 6, name: str = "img_{}.png") -> Path:
    for number in range(count):
        picture(folder / name.format(number))
    return folder


def refusal(data: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        scan(data, Reading(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sizes(manifest):
    return {part: len(manifest.part(part)) for part in ("train", "val", "test")}


# what parts are called

CALLED = {
    "train": (
        "train",
        "Training",
        "training_set",
        "seg_train",
        "Dataset-Train",
        "train data",
        "TrainSet",
        "trn",
        "train2017",
    ),
    "val": ("val", "valid", "VALIDATION", "dev", "val_images", "validation-set"),
    "test": (
        "test",
        "Testing",
        "test_set",
        "seg_test",
        "test images",
        "tst",
        "holdout",
        "hold-out",
        "eval",
        "TEST_SIMPLE",
    ),
}


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, names in CALLED.items() for name in names])
def test_parts_are_known_by_their_usual_names(part, name):
    assert part_called(name) == part


@pytest.mark.parametrize(
    "name", ["validated", "trainer", "attest", "train_val", "latest", "trains", "contest", "", "cat"]
)
def test_other_words_are_no_parts(name):
    assert part_called(name) is None


@given(st.sampled_from([name for names in CALLED.values() for name in names]), st.sampled_from([str.upper, str.lower]))
def test_case_does_not_matter(name, case):
    assert part_called(case(name.replace("TrainSet", "train_set"))) == part_called(name)


# parts


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("Dataset-Train", "Dataset-Test"),
        ("train_images", "test_images"),
        ("trn", "tst"),
        ("Training", "holdout"),
        ("train data", "eval data"),
    ],
)
@pytest.mark.parametrize("above", ["", "archive", "archive/data"])
@pytest.mark.parametrize("doubled", [False, True])
def test_parts_with_unusual_names_and_wrapping_folders_are_parts(tmp_path, train, test, above, doubled):
    top = tmp_path / above
    fill(top / train / (train if doubled else ""), count=4)
    fill(top / test / (test if doubled else ""), count=2, first=10)
    manifest = scan(tmp_path)
    assert manifest.classes == ("cat", "dog")
    assert sizes(manifest) == {"train": 8, "val": 0, "test": 4}


def test_how_unusual_names_are_read_is_said(tmp_path):
    fill(tmp_path / "training_set"), fill(tmp_path / "test_set")
    (notice,) = scan(tmp_path).notices
    assert "training_set is train" in notice
    assert "test_set is test" in notice


def test_three_parts_of_which_one_lacks_a_class(tmp_path):
    fill(tmp_path / "train", "a", "b", "c")
    fill(tmp_path / "valid", "a", "b", "c", count=2)
    fill(tmp_path / "test", "c", count=1)
    assert sizes(scan(tmp_path)) == {"train": 18, "val": 6, "test": 1}


def test_a_part_of_one_class_with_patients_is_not_taken_for_a_wrapping_folder(tmp_path):
    fill(tmp_path / "train" / "a", "p1", "p2"), fill(tmp_path / "train" / "b", "p3", "p4")
    fill(tmp_path / "test" / "a", "p5", "p6")
    manifest = scan(tmp_path)
    assert manifest.classes == ("a", "b")
    assert sizes(manifest) == {"train": 24, "val": 0, "test": 12}


def test_folders_of_patients_in_a_class_belong_to_the_class(tmp_path):
    fill(tmp_path / "benign", "P1", "P2"), fill(tmp_path / "malignant", "P3", "P4")
    manifest = scan(tmp_path)
    assert manifest.counts() == {"benign": 12, "malignant": 12}
    assert manifest.notices == ()


def test_parts_inside_each_class_are_parts(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / name, "train", count=5), fill(tmp_path / name, "test", count=2)
    manifest = scan(tmp_path)
    assert manifest.classes == ("cat", "dog")
    assert sizes(manifest) == {"train": 10, "val": 0, "test": 4}


def test_a_data_set_with_parts_beside_other_pictures_is_no_class(tmp_path):
    fill(tmp_path / "data" / "train"), fill(tmp_path / "data" / "test"), flat(tmp_path / "docs", 2)
    assert f"Is {tmp_path / 'data'} the one you meant?" in refusal(tmp_path)
    assert scan(tmp_path, Reading(layout="classes")).classes == ("data", "docs")


# pictures without labels


@pytest.mark.parametrize("inside", ["", "images", "test"])
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("asl_train", "asl_test"), ("Train", "test1")])
def test_a_flat_test_folder_is_left_out_and_counted(tmp_path, train, test, inside):
    fill(tmp_path / train), flat(tmp_path / test / inside, 12)
    manifest = scan(tmp_path)
    assert manifest.classes == ("cat", "dog")
    assert sizes(manifest) == {"train": 0, "val": 0, "test": 0}, "its parts are held out as of any folder"
    assert any(f"in {test}: 12 pictures" in notice and "regraft predict RUN" in notice for notice in manifest.notices)


def test_unlabelled_pictures_beside_labelled_parts_are_left_out(tmp_path):
    (
        fill(tmp_path / "seg_train/seg_train"),
        fill(tmp_path / "seg_test/seg_test"),
        flat(tmp_path / "seg_pred/seg_pred", 9),
    )
    manifest = scan(tmp_path)
    assert sizes(manifest) == {"train": 12, "val": 0, "test": 12}
    assert any("in seg_pred: 9 pictures" in notice for notice in manifest.notices)


def test_single_pictures_beside_parts_are_counted(tmp_path):
    (
        fill(tmp_path / "train"),
        fill(tmp_path / "test"),
        picture(tmp_path / "sample.png"),
        picture(tmp_path / "train/x.png"),
    )
    (notice,) = scan(tmp_path).notices
    assert "beside the class folders: 2 (sample.png, train/x.png)" in notice


def test_a_part_without_pictures_is_said(tmp_path):
    fill(tmp_path / "train"), fill(tmp_path / "test"), (tmp_path / "val").mkdir()
    (notice,) = scan(tmp_path).notices
    assert "Without a picture, though called like a part: 1 (val)" in notice


def test_other_class_folders_beside_parts_are_refused(tmp_path):
    fill(tmp_path / "train"), fill(tmp_path / "test"), fill(tmp_path / "extra")
    assert "also pictures in extra" in (line := refusal(tmp_path))
    assert "layout='classes'" in line


# where a class may be called so


@pytest.mark.parametrize(
    "classes", [("train", "car"), ("test_tube", "flask"), ("validated", "raw"), ("control", "test")]
)
def test_classes_may_be_called_like_parts(tmp_path, classes):
    fill(tmp_path, *classes)
    assert scan(tmp_path).classes == tuple(sorted(classes))


def test_a_class_called_like_a_part_is_said(tmp_path):
    fill(tmp_path, "cat", "dog", "test")
    assert "'test' is read as a class" in scan(tmp_path).notices[0]
    assert scan(tmp_path, Reading(layout="classes")).notices == ()


def test_classes_written_in_two_ways_are_said(tmp_path):
    fill(tmp_path, "Cat", "cat", "dog-house", "Dog house")
    (notice,) = scan(tmp_path).notices
    assert "'Cat' and 'cat'" in notice
    assert "'Dog house' and 'dog-house'" in notice


def test_stations_are_classes_where_nothing_below_them_says_otherwise(tmp_path):
    fill(tmp_path, "train_station", "test_site", "harbour")
    assert scan(tmp_path).classes == ("harbour", "test_site", "train_station")


@pytest.mark.parametrize(
    "folders",
    [
        ("train_station", "test_site"),  # flat, and nothing else beside them
        ("train_images", "train_masks"),
        ("train/day", "train/night", "unseen/day", "unseen/night"),
        ("test/day", "test/night", "val/day", "val/night"),
        ("train_station/day", "train_station/night", "test_site/x", "test_site/y"),
    ],
)
def test_what_may_be_parts_or_classes_is_refused_with_the_option_that_decides(tmp_path, folders):
    fill(tmp_path, *folders)
    line = refusal(tmp_path)
    assert "parts of the data or classes" in line
    assert "layout='classes'" in line
    assert set(scan(tmp_path, Reading(layout="classes")).classes) == {name.split("/")[0] for name in folders}


def test_two_folders_of_one_part_are_refused(tmp_path):
    fill(tmp_path / "train"), fill(tmp_path / "val"), fill(tmp_path / "valid")
    assert "two folders of one part" in refusal(tmp_path)


def test_parts_may_be_asked_for_and_then_must_be_there(tmp_path):
    fill(tmp_path, "cat", "dog")
    assert "Expected a train folder" in refusal(tmp_path, layout="parts")


def test_parts_in_another_language_are_to_be_called_train_and_test(tmp_path):
    for part in ("Trainingsdaten", "Testdaten"):
        fill(tmp_path / part, "cat", "dog")
    assert "if they are parts, call them train and test" in refusal(tmp_path)
    line = refusal(tmp_path, layout="parts")
    assert "Expected a train folder and a test or val folder beside it: call the parts so" in line
    assert "layout='parts'" not in line


def test_parts_without_a_class_in_common_name_the_pattern_that_finds_it(tmp_path):
    for part, patients in (("train", (1, 2)), ("valid", (3, 4))):
        for patient in patients:
            kind = ("positive", "negative")[patient % 2]
            flat(tmp_path / part / "XR_HAND" / f"patient{patient}" / f"study1_{kind}")
    line = refusal(tmp_path)
    assert "no class in both: patient1, patient2 in train, XR_HAND in valid" in line
    manifest = scan(tmp_path, Reading(label_pattern=re.findall(r"label_pattern='(.+?)'", line)[-1]))
    assert (manifest.classes, sizes(manifest)) == (("negative", "positive"), {"train": 12, "val": 0, "test": 12})


@pytest.mark.parametrize(("train", "test"), [("Cat", "cat"), ("cats", "cat"), ("great_dane", "Great Dane")])
def test_a_class_written_otherwise_in_test_is_named(tmp_path, train, test):
    fill(tmp_path / "train", train, "dog")
    fill(tmp_path / "test", test, "dog")
    assert f"(train has '{train}' for '{test}'?)" in refusal(tmp_path)


def test_pictures_and_their_masks_are_no_two_classes(tmp_path):
    fill(tmp_path, "images", "masks")
    assert "layout='classes'" in refusal(tmp_path)
    assert scan(tmp_path, Reading(layout="classes")).classes == ("images", "masks")


@pytest.mark.parametrize(
    ("of_picture", "of_mask"),
    [
        ("{0}/{0} ({1}).png", "{0}/{0} ({1})_mask.png"),
        ("{0}/{0} ({1}).png", "{0}/{0} ({1})_mask_1.png"),
        ("{0}/{1}.png", "{0}/{1}_ground_truth.png"),
        ("{0}/img_{1}.jpg", "{0}/mask_{1}.png"),
        ("{0}/{1}/image.png", "{0}/{1}/mask.png"),
        ("{0}/images/{0}-{1}.png", "{0}/masks/{0}-{1}.png"),
        ("{0}/images/p{1}/x.png", "{0}/masks/p{1}/x_mask.png"),
        ("{0}/{1}.png", "{0}/masks/{1}.png"),
    ],
)
@pytest.mark.parametrize("layout", ["auto", "classes"])
def test_masks_beside_their_pictures_are_no_pictures(tmp_path, of_picture, of_mask, layout):
    pictures = {of_picture.format(name, number) for name in ("cat", "dog") for number in range(6)}
    for name in pictures | {of_mask.format(name, number) for name in ("cat", "dog") for number in range(6)}:
        picture(tmp_path / name)
    manifest = scan(tmp_path, Reading(layout=layout))
    assert ({item.name for item in manifest.items}, manifest.classes) == (pictures, ("cat", "dog"))
    assert "masks of other pictures: 12" in " ".join(manifest.notices)


def test_masks_inside_parts_are_no_pictures(tmp_path):
    for part in ("train", "test"):
        for kind in ("images", "masks"):
            fill(tmp_path / part / kind, "cat", "dog")
    manifest = scan(tmp_path)
    assert (manifest.classes, sizes(manifest)) == (("cat", "dog"), {"train": 12, "val": 0, "test": 12})


def test_a_pattern_leaves_out_masks_and_keeps_a_class_that_is_called_so(tmp_path):
    for number in range(6):
        for name in ("cat_{}.png", "dog_{}.png", "cat_{}_mask.png"):
            picture(tmp_path / name.format(number))
    assert scan(tmp_path, Reading(label_pattern="^(cat|dog)")).counts() == {"cat": 6, "dog": 6}
    counts = scan(tmp_path, Reading(label_pattern=r"(dog|mask|cat)[^a-z]*\.")).counts()
    assert counts == {"cat": 6, "dog": 6, "mask": 6}


@pytest.mark.parametrize("classes", [("mask", "no_mask"), ("with_mask", "without_mask"), ("blank", "label")])
def test_a_class_called_as_a_folder_of_masks_is_one(tmp_path, classes):
    for part in ("train", "test"):
        fill(tmp_path / part, *classes)
    assert scan(tmp_path).classes == classes


def test_a_mask_without_its_picture_and_a_name_with_such_a_word_are_pictures(tmp_path):
    for name in ("cat", "dog"):
        flat(tmp_path / name, name="gas mask {}.png")
    assert len(scan(tmp_path)) == 12


def test_a_folder_of_images_with_classes_beside_one_of_masks_is_named(tmp_path):
    for name in ("images", "masks"):
        fill(tmp_path / name, "cat", "dog")
    assert f"is {tmp_path / 'images'} the one you meant?" in refusal(tmp_path)


@pytest.mark.parametrize("outer", [("color", "gray"), ("fold1", "fold2", "fold3"), ("8863", "8864", "8865")])
def test_which_of_two_levels_holds_the_classes_is_asked(tmp_path, outer):
    for kind in outer:
        fill(tmp_path / kind, "apple", "pear")
    line = refusal(tmp_path)
    assert "layout='classes'" in line
    assert scan(tmp_path, Reading(layout="classes")).classes == outer
    label, groups = re.findall(r"'(.+?)'", line)[-2:]
    inner = scan(tmp_path, Reading(label_pattern=label, groups=groups))
    assert (inner.classes, set(inner.groups or ())) == (("apple", "pear"), set(outer))


def test_patients_that_mostly_have_one_class_are_no_classes(tmp_path):
    for number in range(6):
        fill(tmp_path / f"patient{number}", *(("0", "1") if number else ("0",)))
    assert "below them lie 0, 1" in refusal(tmp_path)


def test_numbered_folders_inside_all_classes_are_patients(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / name, "patient1", "patient2")
    manifest = scan(tmp_path, Reading(groups="^[^/]+/([^/]+)/"))
    assert (manifest.classes, set(manifest.groups or ())) == (("cat", "dog"), {"patient1", "patient2"})


def test_sub_folders_that_most_classes_do_not_share_are_part_of_the_class(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / name, *(f"{name}-{number}" for number in range(3)))
    assert scan(tmp_path).classes == ("cat", "dog")


def test_a_part_that_repeats_two_others_is_still_a_part(tmp_path):
    fill(tmp_path / "train", "cat", "dog")
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    (tmp_path / "val" / "cat").mkdir(parents=True)
    first = min((tmp_path / "train" / "cat").iterdir())
    first.rename(tmp_path / "val" / "cat" / first.name)
    assert {item.part for item in scan(tmp_path).items} == {"train", "val", "test"}


def test_a_data_set_two_folders_down_is_named(tmp_path):
    fill(tmp_path / "images" / "Images", "cat", "dog")
    assert str(tmp_path / "images" / "Images") in refusal(tmp_path)


# copies


@pytest.mark.parametrize("inside", ["cell_images", "copy/of/all"])
def test_a_nested_copy_of_the_data_set_is_named_and_left_out(tmp_path, inside):
    fill(tmp_path)
    for name in ("cat", "dog"):
        shutil.copytree(tmp_path / name, tmp_path / inside / name)
    manifest = scan(tmp_path)
    assert manifest.counts() == {"cat": 6, "dog": 6}
    (notice,) = manifest.notices
    assert f"{inside.split('/')[0]} holds 12 pictures of cat, dog once more" in notice


def test_a_nested_copy_beside_parts_is_left_out(tmp_path):
    for part in ("train", "val", "test"):
        fill(tmp_path / part)
    shutil.copytree(tmp_path, tmp_path / "chest_xray", ignore=lambda folder, names: {"chest_xray"} & set(names))
    manifest = scan(tmp_path)
    assert sizes(manifest) == {"train": 12, "val": 12, "test": 12}
    assert "chest_xray holds 36 pictures" in manifest.notices[0]


def test_a_copy_inside_a_part_is_left_out(tmp_path):
    fill(tmp_path / "train"), fill(tmp_path / "test")
    for name in ("cat", "dog"):
        shutil.copytree(tmp_path / "train" / name, tmp_path / "train" / "train" / name)
    manifest = scan(tmp_path)
    assert manifest.classes == ("cat", "dog")
    assert sizes(manifest) == {"train": 12, "val": 0, "test": 12}


def test_a_folder_that_gathers_all_pictures_once_more_is_left_out(tmp_path):
    fill(tmp_path, "cat", count=5), fill(tmp_path, "dog", first=5, count=5)
    (tmp_path / "all").mkdir()
    for path in [*tmp_path.glob("cat/*"), *tmp_path.glob("dog/*")]:
        shutil.copy(path, tmp_path / "all")
    assert scan(tmp_path).counts() == {"cat": 5, "dog": 5}


def test_more_pictures_of_the_same_classes_in_a_nested_folder_are_refused_by_name(tmp_path):
    fill(tmp_path), fill(tmp_path / "more", first=50)
    line = refusal(tmp_path)
    assert "more in" in line
    assert "cat, dog" in line
    assert "layout='classes'" in line
    assert scan(tmp_path, Reading(layout="classes")).classes == ("cat", "dog", "more")


def test_equal_names_in_three_classes_are_no_copies(tmp_path):
    fill(tmp_path, "a", "b", count=4), fill(tmp_path, "b", "c", first=4, count=4)
    assert len(scan(tmp_path)) == 16
    for name in ("x", "y", "z"):  # of one size as well: uncompressed
        (tmp_path / "same" / name).mkdir(parents=True)
        for number in range(8):
            noise = random.Random(f"{name}{number}").randbytes(192)
            Image.frombytes("RGB", (8, 8), noise).save(tmp_path / "same" / name / f"{number}.bmp")
    assert scan(tmp_path / "same").counts() == {"x": 8, "y": 8, "z": 8}


# classes in names


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("cat.{}.jpg", "dog.{}.jpg"), ("cat", "dog")),
        (("coarse_{:03}.png", "fine_{:03}.png"), ("coarse", "fine")),
        (("great_pyrenees_{}.jpg", "great_dane_{}.jpg"), ("great_dane", "great_pyrenees")),
        (("{:04}_cat.jpg", "{:04}_dog.jpg"), ("cat", "dog")),
        (("Bengal ({}).jpg", "Persian ({}).jpg"), ("Bengal", "Persian")),
        (("n01440764_{}.JPEG", "n02102040_{}.JPEG"), ("n01440764", "n02102040")),
        (("SOB_B_A-14-22549AB-40-{:03}.png", "SOB_M_DC-14-2523-40-{:03}.png"), ("B", "M")),
    ],
)
@pytest.mark.parametrize("inside", ["", "train"])
def test_a_flat_folder_with_the_class_in_the_names_gets_the_pattern_that_reads_it(tmp_path, names, classes, inside):
    for name in names:
        flat(tmp_path / inside, 10, name)
    line = refusal(tmp_path)
    assert f"{classes[0]} (10)" in line
    pattern = line.split("label_pattern='")[1].split("'")[0]
    manifest = scan(tmp_path, Reading(label_pattern=pattern))
    assert manifest.counts() == dict.fromkeys(classes, 10)


def test_names_without_a_class_get_no_pattern(tmp_path):
    assert "label_pattern=" not in refusal(flat(tmp_path, 20))


def test_a_table_beside_flat_pictures_is_named(tmp_path):
    flat(tmp_path / "train", 20), flat(tmp_path / "test", 20)
    (tmp_path / "labels.csv").write_text("id,breed\n")
    assert "The table labels.csv may hold the labels" in refusal(tmp_path)


def test_a_pattern_reads_the_parts_too_and_leaves_out_what_is_not_labelled(tmp_path):
    for name in ("cat.{}.jpg", "dog.{}.jpg"):
        flat(tmp_path / "train", 8, name), flat(tmp_path / "val", 3, name)
    flat(tmp_path / "test1", 5, "{}.jpg")
    manifest = scan(tmp_path, Reading(label_pattern=r"^(\w+)\.\d"))
    assert manifest.classes == ("cat", "dog")
    assert sizes(manifest) == {"train": 16, "val": 0, "test": 6}, "validation alone is the test part"
    assert "in test1: 5 pictures" in manifest.notices[0]


def test_a_pattern_that_misses_names_or_is_none_is_refused(tmp_path):
    flat(tmp_path, 3, "cat{}.png"), picture(tmp_path / "7.png")
    assert "does not match 1 of 4 file names: 7.png" in refusal(tmp_path, label_pattern="^[a-z]+")
    assert "cannot be read as a regular expression" in refusal(tmp_path, label_pattern="(")
