from synthseg_core.reports.page_files import ALWAYS, ENTROPY, PARCELS, THUMBNAIL, VIEWER, figure_path, page_files


def test_the_page_comes_first_and_what_every_page_has_follows():
    assert page_files("sub-1_T1w") == ["sub-1_T1w.html", *(f"figures/sub-1_T1w_{kind}" for kind in ALWAYS)]
    assert figure_path("sub-1_T1w", THUMBNAIL) == "figures/sub-1_T1w_thumbnail.jpg"


def test_some_stages_and_the_viewer_add_one_each():
    more = {*page_files("x", ("segment", "posteriors", "parcellate"), viewer=True)} - {*page_files("x")}
    assert more == {f"figures/x_{kind}" for kind in (ENTROPY, PARCELS, VIEWER)}
