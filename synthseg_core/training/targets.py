"""The label table of a network that is trained on a label list: one channel per target value."""

from __future__ import annotations

from synthseg_core.errors import InputError
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.labels.table import LabelTable

_BUILTIN = ("segmentation_2.0", "segmentation_1.0", "head")


def target_table(labels: GenerationLabels) -> LabelTable:
    """Return the table of the package with these target values, which knows more; otherwise one made from the list.

    Raises
    ------
    InputError
        If labels that share a target have counterparts, topology classes or quality groups that they do not share.
    """
    for name in _BUILTIN:
        if LabelTable.builtin(name).labels == labels.target_values:
            return LabelTable.builtin(name)
    counterparts = tuple(_counterpart(labels, value) for value in labels.target_values)
    return LabelTable(
        name=labels.source,
        labels=labels.target_values,
        names=tuple(_name(labels, value) for value in labels.target_values),
        sides=tuple(_side(labels, *pair) for pair in zip(labels.target_values, counterparts, strict=True)),
        counterparts=counterparts,
        topology_classes=_of_targets(labels, labels.topology_classes, "topology_class"),
        qc_groups=_of_targets(labels, labels.qc_groups, "qc_group"),
    )


def brain_targets(labels: GenerationLabels) -> tuple[int, ...] | None:
    """Return the target values inside the brain, whose sum is the intracranial volume; ``None`` if all of them are."""
    outside = {labels.outputs[position] for position in labels.indices_of(labels.extracerebral)} - {0}
    inside = tuple(value for value in labels.target_values[1:] if value not in outside)
    return inside if outside and inside else None


def _sources(labels: GenerationLabels, value: int) -> list[int]:
    """Return the positions of the labels that become a target value."""
    return [position for position, output in enumerate(labels.outputs) if output == value]


def _of_targets(labels: GenerationLabels, column: tuple[int, ...], name: str) -> tuple[int, ...]:
    """Return the number of each target value in a column of the list, which may have none."""
    if not column:
        return ()
    numbers = []
    for value in labels.target_values:
        found = {column[position] for position in _sources(labels, value)} if value else {0}
        if len(found) > 1:
            raise InputError(
                labels.source,
                found=f"target {value} with {name} {' and '.join(map(str, sorted(found)))}",
                expected="one number",
                remedy=f"give labels that share a target the same {name}, or leave the column out",
            )
        numbers.append(found.pop())
    return tuple(numbers)


def _counterpart(labels: GenerationLabels, value: int) -> int:
    """Return the target value of the other side; background and unsided values are their own."""
    if value == 0:
        return 0
    others = {labels.outputs[labels.swap_index[position]] for position in _sources(labels, value)}
    if len(others) > 1:
        raise InputError(
            labels.source,
            found=f"target {value}, whose counterparts become {' and '.join(map(str, sorted(others)))}",
            expected="one counterpart",
            remedy="give labels that share a target counterparts that share one too",
        )
    return others.pop()


def _side(labels: GenerationLabels, value: int, counterpart: int) -> str:
    if value == counterpart:
        return "neutral"
    first_right = labels.n_neutral + (len(labels) - labels.n_neutral) // 2
    return "right" if _sources(labels, value)[0] >= first_right else "left"


def _name(labels: GenerationLabels, value: int) -> str:
    """Return the name of the label that keeps its value, or else of the first one that becomes it."""
    if value == 0:
        return "background"
    sources = _sources(labels, value)
    own = [position for position in sources if labels.values[position] == value]
    if not labels.names:
        return f"label {value}"
    return labels.names[own[0]] if own else f"{labels.names[sources[0]]} and others"
