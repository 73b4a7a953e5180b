from synthseg_core.labels.structures import distinct_colour, label_colours, report_colours, sided_colours, structure
from synthseg_core.labels.table import LabelTable


def test_structures_have_the_colours_that_people_know():
    colours = label_colours([0, 2, 10, 17, 49])
    assert colours[2] == (245 / 255, 245 / 255, 245 / 255)
    assert colours[10] == colours[49] == (0, 118 / 255, 14 / 255)
    assert 0 not in colours


def test_every_structure_of_the_published_models_is_known():
    table = LabelTable.builtin("segmentation_2.0")
    known, shifted = label_colours(table.labels), label_colours(label + 5000 for label in table.labels[1:])
    assert len(set(known.values())) == 18  # 14 on both sides, 4 in the middle
    assert len(set(shifted.values())) == 32


def test_tissues_of_the_head_are_known_and_look_different():
    table = LabelTable.builtin("head")
    tissues = table.labels[33:]
    known = [structure(label, name) for label, name in zip(table.labels, table.names, strict=True)]
    assert None not in known
    assert len({one.abbreviation for one in known}) == len(table)
    assert {one.mapping for one in known[33:]} == {4, 5, 6}
    assert len(set(label_colours(table.labels).values())) == 18 + len(tissues)
    colours = report_colours(table.labels, {})
    skin, cord, soft, mucosa, eyes, skull, vessels = tissues
    touching = [(skin, soft), (skin, skull), (skin, eyes), (soft, skull), (soft, mucosa), (soft, eyes), (mucosa, skull)]
    for one, other in [*touching, (skull, 24), (skull, vessels), (vessels, 3), (vessels, 24), (cord, 24), (cord, 16)]:
        assert colours[one] != colours[other] or (one, other) == (cord, 16)  # the cord goes on from the brain-stem


def test_other_labels_have_colours_that_stay():
    assert label_colours([7000, 7001]) == {**label_colours([7001]), **label_colours([7000])}
    assert all(0 <= share <= 1 for colour in label_colours(range(5000, 5100)).values() for share in colour)


def test_right_structures_have_the_darker_hue_of_their_counterparts():
    colours = sided_colours([0, 10, 16, 7001], {49: 10, 7001: 7000})
    assert colours.keys() == {10, 16, 7001}
    assert {label: colours[label] for label in (10, 16)} == label_colours([10, 16])
    assert colours[7001] == tuple(0.55 * share for share in distinct_colour(7000))


def test_colours_of_reports_are_few_the_same_for_both_sides_and_differ_where_structures_touch():
    colours = report_colours([0, 2, 3, 4, 10, 11, 12, 13, 17, 18, 26, 41, 42, 1002, 2002], {41: 2, 42: 3, 2002: 1002})
    assert 0 not in colours
    assert colours[41] == colours[2]
    assert colours[2002] == colours[1002]
    assert len(set(colours.values())) <= 7
    for one, other in ((2, 3), (2, 4), (2, 10), (10, 11), (11, 26), (12, 13), (12, 26), (17, 18), (17, 2), (11, 4)):
        assert colours[one] != colours[other]
    assert report_colours([17], {}, "freesurfer") == label_colours([17])
