"""Hypothesis strategies: labels, entities and names of BIDS scans."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from synthseg_core.bids.names import DERIVED, ENTITIES, PRODUCTS, ScanName

LETTERS = string.ascii_letters + string.digits
RAW_ENTITIES = tuple(key for key in ENTITIES if key not in (*DERIVED, "sub", "ses"))

labels = st.text(LETTERS + "+", min_size=1, max_size=4)
words = st.text(LETTERS, min_size=1, max_size=6)
suffixes = st.sampled_from(("T1w", "T2w", "FLAIR", "T2starw", "dseg", "orig", "x"))
products = st.sampled_from(sorted(PRODUCTS))


@st.composite
def scan_names(draw) -> ScanName:
    """Any scan, with known and unknown entities in any order."""
    keys = draw(st.lists(st.sampled_from(RAW_ENTITIES) | words, unique=True, max_size=4))
    keys = [key for key in keys if key not in (*DERIVED, "sub", "ses")]
    entities = {"sub": draw(labels), **{key: draw(labels) for key in keys}}
    if draw(st.booleans()):
        entities["ses"] = draw(labels)
    shuffled = draw(st.permutations(sorted(entities)))
    return ScanName({key: entities[key] for key in shuffled}, draw(suffixes), draw(st.sampled_from(("anat", "dwi"))))
