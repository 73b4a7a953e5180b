"""What a dry run says is to be done, and why."""

from synthseg_core.app.configuration import checked
from synthseg_core.app.events import Job
from synthseg_core.app.jobs import FOLLOWS
from synthseg_core.app.plan import Plan
from synthseg_core.app.preview import to_do
from synthseg_core.app.requests import NOT_MADE
from tests.phantoms.trees import make_tree


def planned(tmp_path):
    bids = make_tree(tmp_path / "bids", [f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in "1234"])
    return Plan.from_config(checked({"input": str(bids), "output": str(tmp_path / "out"), "qc": {"enabled": True}}))


def stem(subject):
    return f"sub-{subject}/anat/sub-{subject}_space-T1w"


def test_scans_and_reasons(tmp_path):
    jobs = [
        Job(1, "describe", ""),
        Job(2, "qc", stem(2)),
        Job(3, "segment", stem(2)),
        Job(4, "segment", stem(1)),
        Job(5, "qc", stem(1)),
        Job(6, "segment", stem(3)),
        Job(7, "qc", stem(3)),
    ]
    reasons = [
        (stem(1), "segment", "fast was false, is true"),
        (stem(1), "qc", NOT_MADE),
        (stem(2), "segment", "another file"),
        (stem(2), "qc", FOLLOWS),
        (stem(3), "qc", FOLLOWS),
    ]
    assert to_do(planned(tmp_path), jobs, reasons) == [
        "To do: 3 of 4 scans",
        "  sub-1/anat/sub-1_T1w.nii.gz: segment: fast was false, is true; qc: not made yet",
        "  sub-2/anat/sub-2_T1w.nii.gz: segment, qc: another file",
        "  sub-3/anat/sub-3_T1w.nii.gz: segment, qc: what it is made from is newer",
        "  files of the dataset",
    ]


def test_nothing_to_do(tmp_path):
    assert to_do(planned(tmp_path), [], []) == ["Nothing to do: every result is there and up to date."]


def test_scans_with_links_to_nowhere_which_snakemake_is_not_asked_about(tmp_path):
    plan = planned(tmp_path)
    link = plan.layout.derivative(stem(3), "dseg")
    link.parent.mkdir(parents=True)
    link.symlink_to("gone")
    reasons = [(stem(3), "segment", "a link"), (stem(3), "qc", FOLLOWS)]
    assert to_do(plan, [], reasons) == ["To do: 1 of 4 scans", "  sub-3/anat/sub-3_T1w.nii.gz: segment, qc: a link"]
