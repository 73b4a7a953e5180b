"""Which number format trains a network fastest on this machine: a race of a few real steps, remembered for the machine.

No flag of a processor tells it. Among processors that have bfloat16 instructions, some compute such convolutions at
half the speed of float32, others at twice (docs/decisions/011-training.md).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from synthseg_core.errors import SynthSegError
from synthseg_core.networks.building import network_of
from synthseg_core.networks.config import NetworkConfig, RegressorConfig
from synthseg_core.networks.devices import hardware_text, processor_identity
from synthseg_core.networks.precision import formats_of
from synthseg_core.system.atomic import write_json
from synthseg_core.system.paths import user_cache
from synthseg_core.training.losses import dice_loss
from synthseg_core.training.step import forward

# Large enough for the speed of convolutions to show, small enough for a race of a few seconds.
_EDGE_VOXELS = 48
_LAPS = 2
# After the first lap a format this much slower than the best one is out: emulated ones take many times as long.
_HOPELESS = 3.0
# What a format with fewer digits must gain to be worth it; also what two laps of one format may differ by.
_WORTH_IT = 0.9


NewStep: TypeAlias = Callable[[], Callable[[str], None]]
"""Makes a network to be trained, with drawn weights, and returns a step of its training in a number format."""


@dataclass(frozen=True)
class RaceResult:
    """Seconds of the fastest training step in each number format that was tried, and the format to train in."""

    precision: str
    seconds: Mapping[str, float]

    def __str__(self) -> str:
        times = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in self.seconds.items())
        return f"{self.precision} (a small step took {times})" if len(self.seconds) > 1 else self.precision


def fastest_precision(network: NetworkConfig, device: torch.device) -> RaceResult:
    """Return what the race said when this network was first trained on this kind of machine; hold it where it was not.

    Parameters
    ----------
    network
        To be trained.
    device
        Where.
    """
    return fastest(asdict(network), device, lambda: _step(network, device))


def fastest(network: Mapping[str, Any], device: torch.device, new_step: NewStep) -> RaceResult:
    """Return the same for any training, as :func:`fastest_precision`.

    Parameters
    ----------
    network
        What tells it from others, as plain values.
    device
        Where.
    new_step
        See :data:`NewStep`.
    """
    file = _file(network, device)
    result = None if file is None else _remembered(file, formats_of(device))
    if result is None:
        result = race(new_step, device)
        _remember(file, result)
    return result


def race(new_step: NewStep, device: torch.device, clock: Callable[[], float] = time.perf_counter) -> RaceResult:
    """Take the same small training step in every number format of a device, in turns, and time each one.

    Parameters
    ----------
    new_step
        See :data:`NewStep`.
    device
        Where.
    clock
        Seconds since any moment.
    """
    formats = formats_of(device)
    if len(formats) == 1:
        return RaceResult(formats[0], {})
    with _random_numbers_kept(device):
        step = new_step()

        def lap(name: str) -> float:
            began = clock()
            step(name)
            return clock() - began

        first = {name: lap(name) for name in formats}  # loads code and packs weights; counts only for what is hopeless
        running = [name for name in formats if first[name] <= _HOPELESS * min(first.values())]
        laps = [{name: lap(name) for name in running} for _ in range(_LAPS)]
    best = first | {name: min(seconds[name] for seconds in laps) for name in running}
    fastest = min(formats, key=lambda name: best[name])
    precision = fastest if best[fastest] < _WORTH_IT * best[formats[0]] else formats[0]
    return RaceResult(precision, {name: round(best[name], 5) for name in formats})


def _step(network: NetworkConfig, device: torch.device) -> Callable[[str], None]:
    """Return one step of a training, from images to gradients, as a function of the number format."""
    net = network_of(network).to(device, memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
    multiple = 2**network.halvings
    shape = (1, *[-(-_EDGE_VOXELS // multiple) * multiple] * 3)
    images = torch.rand(1, network.in_channels, *shape[1:], device=device)
    class_index = torch.randint(network.out_channels, shape, device=device)

    def step(precision: str) -> None:
        net.zero_grad(set_to_none=True)
        output = forward(net, images, device, precision)
        scores = isinstance(network, RegressorConfig)
        loss = output.float().square().mean() if scores else dice_loss(output, class_index)
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


@contextmanager
def _random_numbers_kept(device: torch.device) -> Iterator[None]:
    """Leave the global random generators as they were: whether there was a race must not change a training."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def _file(network: Mapping[str, Any], device: torch.device) -> Path | None:
    """Return where a result lies: one file for each network, kind of machine, number of threads and torch."""
    facts = {
        "network": network,
        "hardware": hardware_text(device),
        "processor": processor_identity() if device.type == "cpu" else "",
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    cache = user_cache()
    return None if cache is None else cache / "precision" / f"{digest[:16]}.json"


def _remembered(file: Path, formats: tuple[str, ...]) -> RaceResult | None:
    """Return a stored result; ``None`` if there is none that makes sense, and the race is held again."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        result = RaceResult(content["precision"], {name: float(content["seconds"][name]) for name in formats})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if result.precision in formats else None


def _remember(file: Path | None, result: RaceResult) -> None:
    """Store a result where the user's cache can be written to; elsewhere the next training holds its own race."""
    if file is None or not result.seconds:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, asdict(result))
    except (OSError, SynthSegError):
        return
