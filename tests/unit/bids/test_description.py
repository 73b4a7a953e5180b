"""Files that describe a derivative dataset: complete for what was asked, nothing invented."""

import json

import pytest

from synthseg_core import __version__
from synthseg_core.bids.columns import SCORE_COLUMNS, VOLUME_COLUMNS
from synthseg_core.bids.description import DATASET_FILES, dataset_file_names
from synthseg_core.cli.main import main
from synthseg_core.segmentation.volumes import COLUMNS
from synthseg_core.system.tables import read_tsv
from tests.phantoms.models import COARSE, write_family
from tests.phantoms.trees import contents


@pytest.fixture
def described(tmp_path):
    def run(*words, raw=None, model=("tiny-random",)):
        source = tmp_path / "raw"
        source.mkdir(exist_ok=True)
        if raw is not None:
            (source / "dataset_description.json").write_text(raw if isinstance(raw, str) else json.dumps(raw))
        dataset = tmp_path / "out" / "set"
        assert main(["describe", str(dataset), "--model", *map(str, model), "--source", str(source), *words]) == 0
        return dataset

    return run


def test_segmentation_alone(described):
    dataset = described()
    assert set(contents(dataset)) == set(DATASET_FILES) == set(dataset_file_names(["segment", "posteriors"]))
    description = json.loads((dataset / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["SourceDatasets"] == [{"URL": "../../raw"}]
    assert description["DatasetLinks"] == {"raw": "../../raw"}
    (generator,) = description["GeneratedBy"]
    assert (generator["Name"], generator["Version"]) == ("synthseg-bids", __version__)
    assert not {"License", "Authors"} & set(description)
    assert "parc" not in (dataset / "README.md").read_text()


def test_every_stage(described, tmp_path):
    card = write_family(tmp_path / "models")
    dataset = described("--stages", "segment", "parcellate", "qc", model=[card])
    assert set(contents(dataset)) == set(dataset_file_names(["segment", "parcellate", "qc"]))
    rows = {int(row["index"]): row for row in read_tsv(dataset / "seg-synthsegparc_dseg.tsv")}
    assert {0, 3, 16, 42, 1001, 1005, 2001, 2005} == set(rows)
    assert {"channel", "mapping"} <= set(json.loads((dataset / "seg-synthsegparc_dseg.json").read_text()))
    readme = (dataset / "README.md").read_text()
    assert all(name in readme for name in ("whole", "parcels", "scores", "group_qc.tsv", "seg-synthsegparc_volumes"))


def test_tissues_of_the_head(described):
    dataset = described("--stages", "segment", "merge_head", "--merge-head", "default")
    assert set(contents(dataset)) == set(dataset_file_names(["segment", "merge_head"]))
    rows = {int(row["index"]): row["name"] for row in read_tsv(dataset / "seg-synthseghead_dseg.tsv")}
    assert {2: "left cerebral white matter", 616: "head: brain-stem"}.items() <= rows.items()
    assert "616" in (dataset / "seg-synthseghead_itksnap.txt").read_text()
    readme = (dataset / "README.md").read_text()
    assert all(name in readme for name in ("default-2mm", "seg-synthseghead_dseg"))


def test_a_head_model_belongs_to_its_stage(tmp_path, capsys):
    words = ["describe", str(tmp_path / "out"), "--model", "tiny-random", "--source", str(tmp_path)]
    assert main([*words, "--merge-head", "default"]) == main([*words, "--stages", "segment", "merge_head"]) == 2
    assert "found none with the stages segment, merge_head" in capsys.readouterr().err


def test_models_of_single_scans(described, tmp_path):
    card = write_family(tmp_path / "models")
    dataset = described("--stages", "segment", "qc", model=["tiny-random", card])
    generator = json.loads((dataset / "dataset_description.json").read_text())["GeneratedBy"][0]
    assert all(f"Model {name}:" in generator["Description"] for name in ("tiny-random", "whole", "scores"))
    labels = [int(row["index"]) for row in read_tsv(dataset / "seg-synthseg_dseg.tsv")]
    assert labels == [0, 2, 3, 16, 24, 41, 42]


def test_stage_that_no_model_offers(tmp_path, capsys):
    card = COARSE.write(tmp_path)
    words = ["describe", str(tmp_path / "out"), "--model", str(card), "--source", str(tmp_path), "--stages", "qc"]
    assert main(words) == 2
    assert "model coarse: found a request for quality" in capsys.readouterr().err


def test_what_the_raw_dataset_says_of_itself(described):
    raw = {"Name": "x", "License": "CC0", "Authors": ["A. Nobody"], "DatasetDOI": "doi:10.1/x", "DatasetVersion": 3}
    content = json.loads((described(raw=raw) / "dataset_description.json").read_text())
    assert (content["License"], content["Authors"]) == ("CC0", ["A. Nobody"])
    assert content["SourceDatasets"] == [{"URL": "../../raw", "DOI": "doi:10.1/x"}]


@pytest.mark.parametrize("raw", ["", "[1]", "{", '{"License": 3, "Authors": "me"}', '{"Authors": [1]}'])
def test_raw_dataset_that_describes_itself_badly(described, raw):
    content = json.loads((described(raw=raw) / "dataset_description.json").read_text())
    assert not {"License", "Authors"} & set(content)


def test_columns_are_those_that_are_written():
    assert tuple(VOLUME_COLUMNS) == COLUMNS
    assert all("Units" in text for name, text in VOLUME_COLUMNS.items() if name.endswith("_mm3"))
    assert list(SCORE_COLUMNS)[-1] == "score"


def test_same_every_time(described):
    first = contents(described())
    assert contents(described()) == first
