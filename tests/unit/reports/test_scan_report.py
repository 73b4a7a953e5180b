import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from synthseg_core.cli.main import main
from synthseg_core.reports.plausibility import Plausibility, judge
from synthseg_core.reports.scan_facts import ScanFacts
from synthseg_core.reports.scan_pictures import read_pictured
from synthseg_core.reports.scan_report import findings
from tests.phantoms.reports import CITATION, LICENCE, head_labels, scan_of, write_segmented
from tests.phantoms.scans import write_nifti
from tests.phantoms.trees import contents

NAME = "sub-01_space-T1w"


class Reader(HTMLParser):
    """Collects references and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.references, self.tags, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.references += [value for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data):
        self.texts.append(data)


def read(path):
    return Reader(path.read_text(encoding="utf-8"))


def label_map(dataset, subject="01"):
    return dataset / f"sub-{subject}/anat/sub-{subject}_space-T1w_seg-synthseg_dseg.nii.gz"


def one(tmp_path, **about):
    write_segmented(tmp_path / "out", "01", **about)
    return tmp_path / "out"


def test_page_refers_to_its_own_pictures_alone_and_each_has_a_text(reported):
    page = read(reported / f"{NAME}.html")
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 4
    assert all(picture["alt"] for picture in pictures)
    for reference in page.references:
        assert (reported / reference).is_file(), reference
    assert not re.search(r"https?://|//\w", re.sub(r"<style>.*?</style>", "", (reported / f"{NAME}.html").read_text()))


def test_page_says_how_and_from_what_it_was_made(reported):
    text = " ".join(" ".join(read(reported / f"{NAME}.html").texts).split())
    for part in ("bids:raw:sub-01/anat/sub-01_T1w.nii.gz", "cd" * 32, "synthseg-bids 9.9", LICENCE, CITATION,
                 "4 × 3 × 5 mm", "44 × 62 × 34", "works at 1 mm", "Radiological convention"):  # fmt: skip
        assert part in text
    assert "Nothing speaks against it" in text
    assert re.search(r"hippocampus.*%", text)


def test_a_ct_is_judged_and_drawn_within_the_window_of_soft_tissue(tmp_path):
    """Metal and bone would hide the brain otherwise."""
    dataset = one(tmp_path)
    facts = ScanFacts.of_label_map(label_map(dataset))
    scan = tmp_path / "raw/sub-01/anat/sub-01_T1w.nii.gz"
    values = scan_of(head_labels(1), 1)
    values.data[...] *= 0.4
    values.data[::2, :8] = 3000.0
    values.data[::3, -8:] = -1000.0
    write_nifti(scan, values)
    assert judge(*_judged(facts, scan)).loose
    written = json.loads(facts.path("sidecar").read_text())
    facts.path("sidecar").write_text(json.dumps({**written, "Options": {**written["Options"], "CT": True}}))
    windowed = ScanFacts.of_label_map(label_map(dataset))
    pictured = read_pictured(windowed, scan)
    assert (pictured.scan.data.min(), pictured.scan.data.max()) == (0, 80)
    assert not judge(*_judged(windowed, scan)).loose


def _judged(facts, scan):
    pictured = read_pictured(facts, scan)
    return pictured.labels, pictured.scan, facts.expected, facts.sides


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("90", "would fit 20 mm to the back far better"),
        ("91", "Left and right are exchanged"),
        ("92", "Without a single voxel: left hippocampus."),
        ("93", "The label map is empty."),
    ],
)
def test_page_says_first_what_is_wrong(reported, subject, words):
    page = read(reported / f"sub-{subject}_space-T1w.html")
    assert words in " ".join(page.texts)
    assert ("span", {"class": "verdict bad"}) in page.tags


def test_same_derivatives_give_the_same_bytes_without_torch_pandas_or_matplotlib(tmp_path):
    dataset = one(tmp_path)
    code = (
        "import sys; from synthseg_core.cli.main import main; assert main(['report', sys.argv[1]]) == 0\n"
        "print([name for name in ('torch', 'pandas', 'matplotlib', 'sklearn') if name in sys.modules])"
    )
    made = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code, label_map(dataset)], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == [str(dataset / f"{NAME}.html"), "[]"]
        made.append(contents(dataset))
    assert made[0] == made[1]


def test_without_the_scan_the_labels_are_drawn_alone(tmp_path, capsys):
    dataset = one(tmp_path)
    shutil.rmtree(tmp_path / "raw")
    assert main(["report", str(label_map(dataset))]) == 0
    assert "The scan was not there" in (dataset / f"{NAME}.html").read_text()
    assert json.loads((dataset / f"figures/{NAME}_judgement.json").read_text())["agreement"] is None


def test_another_place_of_the_scan_can_be_given(tmp_path):
    dataset = one(tmp_path)
    (tmp_path / "raw").rename(tmp_path / "moved")
    scan = tmp_path / "moved/sub-01/anat/sub-01_T1w.nii.gz"
    assert main(["report", str(label_map(dataset)), "--scan", str(scan), "--palette", "freesurfer"]) == 0
    assert "The scan was not there" not in (dataset / f"{NAME}.html").read_text()


def test_scores_are_bars_with_a_threshold_and_low_ones_are_named(tmp_path):
    dataset = one(tmp_path, warnings=["the field of view is small"])
    scores = label_map(dataset).with_name(f"{NAME}_desc-qc_scores.tsv")
    scores.write_text("index\tname\tscore\n1\tgeneral white matter\t0.91\n2\tcerebellum\t0.42\n")
    assert main(["report", str(label_map(dataset)), "--qc-threshold", "0.5"]) == 0
    page = read(dataset / f"{NAME}.html")
    text = " ".join(page.texts)
    assert "Quality scores below 0.5: cerebellum 0.42." in text
    assert "The field of view is small." in text
    assert [one for tag, one in page.tags if tag == "i"] == [
        {"style": "width: 91.0%"}, {"class": "low", "style": "width: 42.0%"}
    ]  # fmt: skip


def test_whatever_a_sidecar_says_stays_text(tmp_path):
    dataset = one(tmp_path, warnings=["<script>alert('\"')</script>"], model="<img src=x>")
    assert main(["report", str(label_map(dataset))]) == 0
    page = read(dataset / f"{NAME}.html")
    assert [tag for tag, _ in page.tags if tag == "script"] == ["script"]
    assert "x" not in page.references
    assert any("<script>alert('\"')</script>" in text for text in page.texts)


def test_tissue_outside_the_brain_may_be_absent(tmp_path):
    """A stripped scan lacks nothing."""
    write_segmented(tmp_path / "out", "01", "lacking")
    facts = ScanFacts.of_label_map(label_map(tmp_path / "out"))
    assert judge(*_judged(facts, None)).absent == ("left hippocampus",)
    written = json.loads(facts.path("sidecar").read_text())
    channels = [{"Channel": 1, "Label": 17, "Name": "left hippocampus", "Extracerebral": True}]
    facts.path("sidecar").write_text(json.dumps({**written, "Channels": channels}))
    assert judge(*_judged(ScanFacts.of_label_map(label_map(tmp_path / "out")), None)).absent == ()


def test_findings_of_the_segmentation_are_not_said_twice(tmp_path):
    outside = "no voxel of skull, which are not counted as brain"
    dataset = one(tmp_path, warnings=["no voxel of left hippocampus", outside])
    facts = ScanFacts.of_label_map(label_map(dataset))
    lacking = Plausibility(0.9, empty=False, swapped=False, absent=("left hippocampus",), cut=())
    assert findings(facts, lacking, 0.65) == ["Without a single voxel: left hippocampus.", f"N{outside[1:]}."]


@pytest.mark.parametrize("words", [[], ["--group", "x", "map.nii.gz"], ["no.nii.gz"], ["a", "b", "--scan", "c"]])
def test_wrong_words_are_told_in_a_line(words, capsys):
    assert main(["report", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
