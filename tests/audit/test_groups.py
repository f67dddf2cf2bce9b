"""Embeddings of known groups -> a proposal: the groups where they matter, nothing where nothing speaks for any."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw

from regraft.audit.groups import Proposal, difference_interval, propose
from regraft.config import Config
from regraft.data import Item, Manifest, Reading, scan
from regraft.experiments.checking import check
from regraft.experiments.recommendation import recommend
from regraft.reports import run_page
from regraft.utils import files, records

WIDTH = 16
CENTRES = np.random.default_rng(0).normal(0, 1, (2, WIDTH))


def manifest(names: list[str], parts: list[str | None] | None = None) -> Manifest:
    """Half of the names in each of two classes."""
    half = len(names) // 2
    items = [Item(Path("/d") / name, name, int(at >= half)) for at, name in enumerate(names)]
    found = Manifest(Path("/d"), ("ill", "well"), tuple(items))
    return found.with_parts(parts) if parts else found


def embeddings(labels: np.ndarray, *sources: tuple[list[str] | np.ndarray, float], seed: int = 1) -> np.ndarray:
    """A class's centre, what each kind of source adds, and what is each picture's own."""
    random = np.random.default_rng(seed)
    rows = CENTRES[labels] + random.normal(0, 0.7, (len(labels), WIDTH))
    for groups, spread in sources:
        which = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
        rows += random.normal(0, spread, (which.max() + 1, WIDTH))[which]
    return rows


def asked(found: Manifest, rows: np.ndarray, **changed: object) -> Proposal | None:
    return propose(found, lambda which: rows[list(which)], **changed)  # type: ignore[arg-type]


def patients(
    count: int = 20, each: int = 10, form: str = "{label}/C{patient}_cell_{n}.png"
) -> tuple[Manifest, list[str]]:
    """Patients that each have pictures of both classes."""
    said = [(label, patient, n) for label in ("ill", "well") for patient in range(count) for n in range(each)]
    names = [form.format(label=label, patient=patient, n=n) for label, patient, n in said]
    return manifest(names), [str(patient) for _, patient, _ in said]


# what is proposed


def test_patients_in_the_names_are_proposed_where_the_pictures_of_one_are_alike() -> None:
    found, groups = patients()
    proposal = asked(found, embeddings(found.labels, (groups, 1.5)))
    assert proposal is not None
    assert (proposal.pattern, proposal.groups, proposal.alike) == (r"^C\d+", 20, True)
    assert proposal.share > 0.8
    assert proposal.chance == pytest.approx(9 / 199, abs=0.01)  # nine others of the patient among 199 of the class
    assert r"--groups '^C\d+'" in proposal.notice


def test_both_figures_are_told_and_their_difference_lies_in_its_interval() -> None:
    said = [(label, patient, n) for label in ("ill", "well") for patient in range(15) for n in range(10)]
    # here each patient is of one class: the model learns whom it sees, and that is all it needs at random
    found = manifest([f"{label}/{label}C{patient}_cell_{n}.png" for label, patient, n in said])
    groups = [f"{label}{patient}" for label, patient, _ in said]
    proposal = asked(found, embeddings(found.labels, (groups, 3.0)))
    assert proposal is not None
    assert proposal.at_random is not None
    assert proposal.by_group is not None
    assert proposal.low is not None
    assert proposal.high is not None
    assert proposal.at_random > proposal.by_group + 0.1
    assert 0 < proposal.low < proposal.at_random - proposal.by_group < proposal.high
    assert "a random split overstates by" in proposal.notice


def test_numbers_that_mean_nothing_are_not_proposed() -> None:
    found, _ = patients()
    for seed in range(8):
        assert asked(found, embeddings(found.labels, seed=seed)) is None


@pytest.mark.parametrize("form", ["img_{at:04d}.jpg", "{label}.{at}.jpg", "{at}.png"])
def test_plain_numbering_is_not_proposed_though_there_are_groups_behind_it(form: str) -> None:
    shuffled = np.random.default_rng(3).permutation(200)
    found = manifest([f"{label}/{form.format(label=label, at=at)}" for label in ("ill", "well") for at in range(200)])
    groups = [str(at // 10) for _ in range(2) for at in shuffled]
    assert asked(found, embeddings(found.labels, (groups, 1.5))) is None


def test_pictures_numbered_one_source_after_another_are_told_without_a_pattern() -> None:
    found = manifest([f"{label}/img_{at:04d}.jpg" for label in ("ill", "well") for at in range(200)])
    groups = [f"{label}{at // 8}" for label in range(2) for at in range(200)]
    proposal = asked(found, embeddings(found.labels, (groups, 2.0)))
    assert proposal is not None
    assert proposal.pattern is None
    assert "--groups" not in proposal.notice
    assert "table with a column `group`" in proposal.notice


def test_of_patients_and_their_slides_the_patients_are_proposed() -> None:
    said = [(label, p, s, n) for label in ("ill", "well") for p in range(16) for s in range(3) for n in range(4)]
    found = manifest([f"{label}/P{p}_slide{s}_{n}.png" for label, p, s, n in said])
    people, slides = [f"{p}" for _, p, _, _ in said], [f"{p}-{s}" for _, p, s, _ in said]
    proposal = asked(found, embeddings(found.labels, (people, 1.0), (slides, 1.0)))
    assert proposal is not None
    assert (proposal.pattern, proposal.groups) == (r"^P\d+", 16)


def test_what_only_unites_slides_that_matter_is_not_taken_for_a_group() -> None:
    said = [(label, b, s, n) for label in ("ill", "well") for b in "stuvwx" for s in range(6) for n in range(5)]
    found = manifest([f"{label}/{b}_slide{b}{s}_{n}.png" for label, b, s, n in said])
    slides = [f"{b}-{s}" for _, b, s, _ in said]
    proposal = asked(found, embeddings(found.labels, (slides, 1.5)))
    assert proposal is not None
    assert proposal.groups == 36


def test_patients_are_proposed_though_a_few_have_two_slides() -> None:
    said = [(label, p, n) for label in ("ill", "well") for p in range(20) for n in range(8)]
    slides = [f"P{p}thin_day{'2' if p < 2 and n % 2 else '1'}" for _, p, n in said]
    found = manifest([f"{label}/{slide}_{n}.png" for (label, _, n), slide in zip(said, slides, strict=True)])
    proposal = asked(found, embeddings(found.labels, (slides, 1.5)))
    assert proposal is not None
    assert (proposal.pattern, proposal.groups) == (r"^P\d+", 20)


@pytest.mark.parametrize("form", ["P{patient}_{label}_{n:04d}.png", "{label}_P{patient}_{n:04d}.png"])
def test_a_patient_with_a_class_is_not_taken_for_a_source(form: str) -> None:
    found, groups = patients(6, 20, form="{label}/" + form)
    proposal = asked(found, embeddings(found.labels, (groups, 1.5)))
    assert proposal is not None
    assert proposal.groups == 6
    assert not [name for name in proposal.examples if "ill" in name or "well" in name]


def test_where_a_class_is_rare_both_ways_are_measured_by_balanced_accuracy_or_not_at_all() -> None:
    for rare, said in ((1, "There are too few groups, or pictures of a class"), (12, "a balanced accuracy of ")):
        drawn = [(patient, n) for patient in range(20) for n in range(20)]
        names = [f"ill/C{patient}_{n}.png" for patient, n in drawn if n == 0 and patient < max(4, rare)]
        names += [f"well/C{patient}_{n}.png" for patient, n in drawn]
        labels = [int(name.startswith("well")) for name in names]
        items = [Item(Path("/d") / name, name, label) for name, label in zip(names, labels, strict=True)]
        found = Manifest(Path("/d"), ("ill", "well"), tuple(items))
        groups = [name.split("/")[1].split("_")[0] for name in names]
        proposal = asked(found, embeddings(found.labels, (groups, 1.5)))
        assert proposal is not None
        assert proposal.pattern == r"^C\d+"
        assert said in proposal.measured
        if rare == 12:
            assert proposal.at_random is not None
            assert proposal.at_random < 0.95  # always predicting "well" would have 97 % right


def test_patients_that_are_named_so_are_told_where_the_pictures_do_not_show_it() -> None:
    found, _ = patients(form="{label}/patient{patient}/{n}.png")
    proposal = asked(found, embeddings(found.labels))
    assert proposal is not None
    assert not proposal.alike
    assert "no more alike than others" in proposal.notice


def test_groups_that_are_given_are_left_alone() -> None:
    found, groups = patients()
    items = [Item(item.path, item.name, item.label, group) for item, group in zip(found.items, groups, strict=True)]
    grouped = Manifest(found.root, found.classes, tuple(items))
    assert asked(grouped, embeddings(found.labels, (groups, 1.5))) is None


def test_parts_that_keep_the_groups_apart_are_left_alone_and_others_are_told() -> None:
    found, groups = patients()
    rows = embeddings(found.labels, (groups, 1.5))
    apart = found.with_parts(["test" if int(group) < 4 else "train" for group in groups])
    assert asked(apart, rows) is None
    torn = found.with_parts(["test" if at % 10 == 0 and int(group) < 7 else "train" for at, group in enumerate(groups)])
    proposal = asked(torn, rows)
    assert proposal is not None
    assert proposal.torn == 7
    assert "7 of these groups lie in two of the parts" in proposal.notice


def test_copies_that_were_written_beside_the_pictures_are_told() -> None:
    said = [(label, at, end) for label in ("ill", "well") for at in range(40) for end in ("", "_flip", "_rot90")]
    found = manifest([f"{label}/{label}.x{'abcdefgh'[at % 8]}q{at // 8}z{end}.png" for label, at, end in said])
    originals = [f"{label}{at}" for label, at, _ in said]
    proposal = asked(found, embeddings(found.labels, (originals, 2.0)))
    assert proposal is not None
    assert proposal.groups == 80


@pytest.mark.parametrize("count", [2, 6, 12])
def test_few_pictures_are_no_error(count: int) -> None:
    found = manifest([f"{'ill' if at < count // 2 else 'well'}/C{at}_1.png" for at in range(count)])
    assert asked(found, embeddings(found.labels)) is None


def test_equal_pictures_and_numbers_that_are_none_are_no_error() -> None:
    found, _ = patients()
    for value in (0.0, 1.0, np.nan, np.inf):
        assert asked(found, np.full((len(found), WIDTH), value)) is None
    halves = embeddings(found.labels)
    halves[::2] = halves[0]
    asked(found, halves)


def test_a_class_of_few_groups_is_no_error_and_no_proposal() -> None:
    # the second class comes from two patients: groups could not be in train, val and test
    names = [f"ill/C{p}_{n}.png" for p in range(10) for n in range(10)] + [
        f"well/C{p}_{n}.png" for p in (1, 2) for n in range(50)
    ]
    found = manifest(names)
    groups = [name.split("/")[1].split("_")[0] for name in names]
    proposal = asked(found, embeddings(found.labels, (groups, 1.5)))
    assert proposal is None or proposal.pattern is None  # their order may speak for them, no pattern can split them


def test_a_proposal_is_the_same_when_made_again_and_when_read_back() -> None:
    found, groups = patients()
    proposal = asked(found, embeddings(found.labels, (groups, 1.5)))
    assert proposal is not None
    assert records.fitted(json.loads(json.dumps(proposal.as_dict())), Proposal, others=True) == proposal
    assert asked(found, embeddings(found.labels, (groups, 1.5))) == proposal


# headers

CAMERA, DATE, DAY = 0xA431, 0x9003, "DateTimeOriginal:day"


def photographs(folder: Path, tags: list[dict[int, str]]) -> Manifest:
    """Small JPEGs of two classes, half and half, whose names tell nothing but their order in a drawn one."""
    numbers = np.random.default_rng(7).permutation(len(tags))
    for at, said in enumerate(tags):
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif).update(said)
        place = folder / ("ill" if at < len(tags) // 2 else "well")
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (at % 256, 0, 0)).save(place / f"{numbers[at]:05d}.jpg", exif=exif)
    return scan(folder)


def by_number(found: Manifest, said: list[str]) -> list[str]:
    """What was said of each picture when it was made, in the order of the manifest."""
    numbers = np.random.default_rng(7).permutation(len(said)).tolist()
    return [said[numbers.index(int(item.path.stem))] for item in found.items]


def test_the_day_in_the_headers_is_proposed_and_a_scan_makes_those_groups(tmp_path) -> None:
    days = [day for _ in range(2) for day in range(1, 13) for _ in range(8)]
    found = photographs(tmp_path, [{DATE: f"2024:05:{day:02d} 10:00:{n % 60:02d}"} for n, day in enumerate(days)])
    proposal = asked(found, embeddings(found.labels, (by_number(found, [str(day) for day in days]), 1.5)))
    assert proposal is not None
    assert (proposal.pattern, proposal.groups, proposal.alike) == (DAY, 12, True)
    assert f"--groups {DAY}" in proposal.notice
    assert "quick linear model" in proposal.notice
    made = scan(tmp_path, Reading(groups=proposal.pattern)).groups
    assert made is not None
    assert len(set(made)) == proposal.groups
    assert set(proposal.examples) <= set(made)


def test_of_cameras_and_their_days_the_cameras_are_proposed_if_they_matter_beyond_the_days(tmp_path) -> None:
    said = [(camera, day) for _ in range(2) for camera in range(6) for day in range(4) for _ in range(5)]
    tags = [{CAMERA: f"N{camera}", DATE: f"2024:0{camera + 1}:0{day + 1} 10:00:00"} for camera, day in said]
    found = photographs(tmp_path, tags)
    cameras = by_number(found, [f"{camera}" for camera, _ in said])
    days = by_number(found, [f"{camera}-{day}" for camera, day in said])
    both = asked(found, embeddings(found.labels, (cameras, 1.2), (days, 1.2)))
    assert both is not None
    assert (both.pattern, both.groups) == ("BodySerialNumber", 6)
    only_days = asked(found, embeddings(found.labels, (days, 1.5)))
    assert only_days is not None
    assert (only_days.pattern, only_days.groups) == (DAY, 24)


def test_headers_that_the_pictures_do_not_bear_out_are_not_proposed(tmp_path) -> None:
    days = [day for _ in range(2) for day in range(1, 13) for _ in range(8)]
    found = photographs(tmp_path, [{DATE: f"2024:05:{day:02d} 10:00:00"} for day in days])
    for seed in range(6):
        assert asked(found, embeddings(found.labels, seed=seed)) is None


def test_photographs_without_a_header_are_counted_in_what_is_said(tmp_path) -> None:
    days = [day for _ in range(2) for day in range(1, 13) for _ in range(8)]
    found = photographs(
        tmp_path, [{DATE: f"2024:05:{day:02d} 10:00:00"} if n % 8 else {} for n, day in enumerate(days)]
    )
    proposal = asked(found, embeddings(found.labels, (by_number(found, [str(day) for day in days]), 1.5)))
    assert proposal is not None
    assert proposal.groups == 12 + 24  # those without are each one
    assert "the day in their EXIF headers, which 24 of 192 lack (2024-05-" in proposal.notice


def dicoms(folder: Path, said: list[tuple[int, int]]) -> Manifest:
    """DICOM files of two classes, half and half, of patients and their studies."""
    pydicom = pytest.importorskip("pydicom")
    numbers = np.random.default_rng(7).permutation(len(said))
    for at, (patient, study) in enumerate(said):
        file = pydicom.dataset.FileDataset(None, {}, preamble=bytes(128))
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        file.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        file.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{at + 1}"
        file.PatientID, file.StudyInstanceUID, file.SeriesInstanceUID = f"A{patient}", f"1.2.{patient}.{study}", "1.2.3"
        place = folder / ("ill" if at < len(said) // 2 else "well")
        place.mkdir(parents=True, exist_ok=True)
        pydicom.dcmwrite(place / f"{numbers[at]:05d}.dcm", file, enforce_file_format=True)
    return scan(folder)


def test_of_patients_and_their_studies_in_dicom_the_patients_are_proposed(tmp_path) -> None:
    said = [(patient, study) for _ in range(2) for patient in range(16) for study in range(3) for _ in range(4)]
    found = dicoms(tmp_path, said)
    patients, studies = (by_number(found, [str(one[:end]) for one in said]) for end in (1, 2))
    both = asked(found, embeddings(found.labels, (patients, 1.0), (studies, 1.0)))
    assert both is not None
    assert (both.pattern, both.groups) == ("PatientID", 16)
    assert "the patient in their DICOM headers" in both.notice
    only_studies = asked(found, embeddings(found.labels, (studies, 1.5)))
    assert only_studies is not None
    assert (only_studies.pattern, only_studies.groups) == ("StudyInstanceUID", 48)
    # a patient is one, whatever the pictures show
    neither = asked(found, embeddings(found.labels))
    assert neither is not None
    assert (neither.pattern, neither.alike) == ("PatientID", False)
    for proposal in (both, only_studies):
        assert len(set(scan(tmp_path, Reading(groups=proposal.pattern)).groups or [])) == proposal.groups


def test_where_only_some_heads_were_read_there_may_be_more_groups(tmp_path) -> None:
    days = [day for _ in range(2) for day in range(1, 13) for _ in range(8)]
    found = photographs(tmp_path, [{DATE: f"2024:05:{day:02d} 10:00:00"} for day in days])
    rows = embeddings(found.labels, (by_number(found, [str(day) for day in days]), 2.0))
    proposal = asked(found, rows, seen=range(0, len(found), 2))
    assert proposal is not None
    assert (proposal.pattern, proposal.pictures, proposal.complete) == (DAY, 96, False)
    assert "come in 12 or more, told by" in proposal.notice


def test_parts_that_keep_the_days_apart_are_left_alone_and_others_are_told(tmp_path) -> None:
    days = [day for _ in range(2) for day in range(1, 13) for _ in range(8)]
    found = photographs(tmp_path, [{DATE: f"2024:05:{day:02d} 10:00:00"} for day in days])
    mine = [int(day) for day in by_number(found, [str(day) for day in days])]
    rows = embeddings(found.labels, ([str(day) for day in mine], 1.5))
    assert asked(found.with_parts(["test" if day < 4 else "train" for day in mine]), rows) is None
    torn = asked(found.with_parts(["test" if day < 4 and at % 2 else "train" for at, day in enumerate(mine)]), rows)
    assert torn is not None
    assert (torn.pattern, torn.torn) == (DAY, 3)


# the interval


def test_an_interval_over_single_pictures_is_the_t_interval_of_a_mean() -> None:
    from scipy.stats import t

    values = np.random.default_rng(0).normal(0.3, 1, 30)
    reach = t.ppf(0.975, 29) * values.std(ddof=1) / np.sqrt(30)
    interval = difference_interval(values, [str(at) for at in range(30)])
    assert interval == pytest.approx((values.mean() - reach, values.mean() + reach))


def test_an_interval_covers_the_truth_with_few_groups_about_as_often_as_it_says() -> None:
    random, held = np.random.default_rng(0), 0
    for _ in range(600):
        group_of = np.repeat(np.arange(12), random.integers(5, 25, 12))
        values = random.normal(0, 1, 12)[group_of] + random.normal(0, 1, len(group_of))
        low, high = difference_interval(values, [str(one) for one in group_of])
        held += low <= 0 <= high
    assert 0.92 <= held / 600 <= 0.98


# in a run


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of clips: a scene of its own, in which a disc or a square moves a little."""
    folder, random = tmp_path_factory.mktemp("clips") / "clips", np.random.default_rng(0)
    for label in ("disc", "square"):
        (folder / label).mkdir(parents=True)
        for clip in range(10):
            scene = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((64, 64))
            x, y = random.integers(5, 20, 2).tolist()
            for frame in range(6):
                shown = scene.copy()
                draw = ImageDraw.Draw(shown)
                shape = draw.ellipse if label == "disc" else draw.rectangle
                shape((x + frame, y, x + frame + 24, y + 24), fill=(240, 240, 240))
                shown.save(folder / label / f"{label}-clip{clip:02d}_frame{frame:03d}.png")
    return folder


def test_a_run_tells_the_groups_keeps_them_and_writes_them_on_its_page(clips, tmp_path, regraft) -> None:
    answer = regraft(
        "train", clips, "--method", "features", "--img-size", 64, "--out", tmp_path / "run", "--device", "cpu"
    )
    assert answer.status == 0
    assert answer.err.count("--groups") == 1
    kept = json.loads((tmp_path / "run" / "groups.json").read_text())
    assert kept["pattern"] in answer.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("--groups &#39;") == 1
    (tmp_path / "run" / "report.html").unlink()
    assert run_page.report(tmp_path / "run").read_text() == page  # from the run's folder alone
    # its split is as random as it was before: a proposal is not used by itself
    assert {row["group"] for row in files.read_csv(tmp_path / "run" / "split.csv")} == {""}


def test_nothing_is_said_to_who_gives_the_groups(clips, tmp_path, regraft) -> None:
    command = ("--method", "features", "--img-size", 64, "--out", tmp_path / "run", "--device", "cpu")
    answer = regraft("train", clips, "--groups", r"clip\d+", *command)
    assert answer.status == 0
    assert "No groups were given" not in answer.err
    assert not (tmp_path / "run" / "groups.json").exists()


def test_a_check_tells_the_groups_in_its_page_and_its_answer(clips, tmp_path) -> None:
    found = check(clips, out=tmp_path / "check", img_size=64, device="cpu")
    assert found.proposal is not None
    assert found.proposal.groups in (10, 20)  # by clip, or by class and clip
    assert found.as_dict()["groups"]["pattern"] == found.proposal.pattern
    assert "--groups" in (found.folder / "check.html").read_text()
    assert Config(groups=found.proposal.pattern).groups == found.proposal.pattern


def test_folds_and_comparisons_and_recommendations_tell_the_groups_once(clips, tmp_path, regraft) -> None:
    small = ("--img-size", 64, "--device", "cpu")
    folds = regraft("train", clips, "--method", "features", "--folds", 3, "--out", tmp_path / "folds", *small)
    compared = regraft(
        *("compare", clips, "--backbones", "tf_efficientnet_lite0", "--methods", "features"),
        *("--control-epochs", 0, "--out", tmp_path / "compared", *small),
    )
    recommended = regraft("recommend", clips, "--backbones", "tf_efficientnet_lite0", *small)
    for answer in (folds, compared, recommended):
        assert answer.status == 0
        assert answer.err.count("No groups were given") == 1
    cell = tmp_path / "compared" / "tf_efficientnet_lite0-features"
    assert "No groups were given" in run_page.report(cell).read_text()  # the comparison's, for each of its runs
    assert "No groups were given" in (tmp_path / "folds" / "report.html").read_text()
    page = (tmp_path / "compared" / "comparison.html").read_text()
    assert page.count("No groups were given") == page.count("--groups &#39;") == 1


def test_recommend_says_nothing_where_parts_are_given(clips, tmp_path, regraft) -> None:
    for part, clip in (("train", range(7)), ("test", range(7, 10))):
        for label in ("disc", "square"):
            (tmp_path / "parted" / part / label).mkdir(parents=True)
            for number in clip:
                for path in (clips / label).glob(f"*clip{number:02d}_*"):
                    (tmp_path / "parted" / part / label / path.name).symlink_to(path)
    found = recommend(tmp_path / "parted", backbones="tf_efficientnet_lite0", img_size=64, device="cpu")
    assert found.candidates
    answer = regraft("check", tmp_path / "parted", "--img-size", 64, "--device", "cpu", "--out", tmp_path / "check")
    assert "No groups were given" not in answer.err
