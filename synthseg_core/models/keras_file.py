"""Keras HDF5 weight files: which of their arrays is which of a network's, and how such files are read and written.

The layer names are those of the published SynthSeg files. Arrays are found by layer name, never by position, in
files that hold weights alone and in files that hold a whole model (the same tree below ``model_weights``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from synthseg_core.errors import WeightsError
from synthseg_core.networks.arrays import Arrays, array_shapes, require_complete
from synthseg_core.networks.config import NetworkConfig, NetworkSpec, RegressorConfig, UNetConfig
from synthseg_core.system.atomic import atomic_path

# Keras kernels are [k, k, k, in, out], torch's [out, in, k, k, k]; both correlate, so nothing is flipped.
_KERAS_TO_TORCH, _TORCH_TO_KERAS = (4, 3, 0, 1, 2), (2, 3, 4, 1, 0)
_WHOLE_MODEL_GROUP = "model_weights"
# What h5py was seen to raise on files with bytes changed at random or cut off.
_HDF5_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)
# What a configuration may say about a network that these layers describe; all else has to be as by default.
_DESCRIBED = {"in_channels", "out_channels", "features", "levels", "kernel_size", "skips"}


@dataclass(frozen=True)
class Layer:
    """A layer of a Keras file.

    Parameters
    ----------
    name
        As in the file, the network's prefix included.
    arrays
        The torch name of each of its arrays by their names in Keras, in the order in which Keras stores them; empty for
        a layer without weights, which Keras files list too.
    """

    name: str
    arrays: Mapping[str, str] = field(default_factory=dict)


def layers_of(spec: NetworkSpec) -> tuple[Layer, ...]:
    """Return all layers that the published files list for a network, in the order of computation.

    Raises
    ------
    WeightsError
        If the network is of a design that the published files do not have.
    """
    config = spec.config
    if others := [f"{name} {value!r}" for name, value in _undescribed(config)]:
        raise WeightsError(
            f"network {spec.prefix} ({spec.role})",
            found=", ".join(others),
            expected="a network of the design of SynthSeg 2.0, the only one that Keras files can hold",
            remedy="keep the weights of this network as safetensors",
        )
    layers = _regressor_layers if isinstance(config, RegressorConfig) else _unet_layers
    return tuple(layers(spec.prefix, config))  # type: ignore[arg-type]


def read_keras(path: Path, spec: NetworkSpec) -> tuple[Arrays, list[str]]:
    """Read one network from a Keras file.

    Parameters
    ----------
    path
        An HDF5 file in either layout; layers of other networks in it are ignored.
    spec
        The network; its prefix begins the layer names.

    Returns
    -------
    arrays, faults
        The arrays that were found, float32, by torch name; and one phrase for each array that is missing or has
        another shape.

    Raises
    ------
    WeightsError
        If the file cannot be read as HDF5.
    """
    layers, shapes = [layer for layer in layers_of(spec) if layer.arrays], array_shapes(spec.config)
    arrays: Arrays = {}
    faults: list[str] = []
    try:
        with h5py.File(path, "r") as file:
            groups = _layer_groups(file)
            for layer in layers:
                _read_layer(groups, layer, shapes, arrays, faults)
    except _HDF5_DAMAGE as error:
        raise WeightsError(
            path,
            found=f"damaged or truncated HDF5 ({error})",
            expected="a complete Keras weights file",
            remedy="fetch or copy the file again",
        ) from error
    return arrays, faults


def write_keras(path: Path, networks: Sequence[tuple[NetworkSpec, Mapping[str, NDArray[Any]]]]) -> None:
    """Write networks to one file in the layout of the published files: weights alone, a group for every layer.

    Parameters
    ----------
    path
        The file to make; it is replaced in one step.
    networks
        Each network with its arrays by torch name; arrays beyond the named ones (counters) are left out.

    Raises
    ------
    WeightsError
        If arrays are missing or have another shape, or a network cannot be described in such a file.
    """
    for spec, arrays in networks:
        require_complete(path, spec, arrays)
    every = [(layer, arrays) for spec, arrays in networks for layer in layers_of(spec)]
    with atomic_path(path) as temporary, h5py.File(temporary, "w", track_order=False) as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer, _ in every]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.3.1"  # the generation of Keras that the published files were made with
        for layer, arrays in every:
            _write_layer(file.create_group(layer.name), layer, arrays)


def _undescribed(config: NetworkConfig) -> Iterator[tuple[str, Any]]:
    """Yield options of a network that differ from the default and that no Keras layer says."""
    for option in fields(config):
        value = getattr(config, option.name)
        if option.name not in _DESCRIBED and value != option.default:
            yield option.name, value


def _unet_layers(prefix: str, config: UNetConfig) -> Iterator[Layer]:
    deepest = config.levels - 1
    if config.in_channels == 1:  # others get their input from what stands before them
        yield Layer(f"{prefix}_input")
    for level in range(config.levels):
        yield _convolution(f"{prefix}_conv_downarm_{level}_0", f"down.{level}.conv0")
        yield _convolution(f"{prefix}_conv_downarm_{level}_1", f"down.{level}.conv1")
        yield _batch_norm(f"{prefix}_bn_down_{level}", f"down.{level}.norm")
        if level < deepest:
            yield Layer(f"{prefix}_maxpool_{level}")
    for step in range(deepest):
        number = config.levels + step  # the decoder's names go on counting where the encoder's levels stopped
        yield Layer(f"{prefix}_up_{number}")
        if config.has_skip(step):
            yield Layer(f"{prefix}_merge_{number}")
        yield _convolution(f"{prefix}_conv_uparm_{number}_0", f"up.{step}.conv0")
        yield _convolution(f"{prefix}_conv_uparm_{number}_1", f"up.{step}.conv1")
        yield _batch_norm(f"{prefix}_bn_up_{step}", f"up.{step}.norm")
    yield _convolution(f"{prefix}_likelihood", "head")
    yield Layer(f"{prefix}_prediction")


def _regressor_layers(prefix: str, config: RegressorConfig) -> Iterator[Layer]:
    for level in range(config.levels):
        yield _convolution(f"{prefix}_conv_downarm_{level}_0", f"down.{level}.conv0")
        yield _convolution(f"{prefix}_expand_down_merge_{level}", f"down.{level}.shortcut")
        yield _convolution(f"{prefix}_conv_downarm_{level}_1", f"down.{level}.conv1")
        yield Layer(f"{prefix}_res_down_merge_{level}")
        yield Layer(f"{prefix}_res_down_merge_act_{level}")
        yield _batch_norm(f"{prefix}_bn_down_{level}", f"down.{level}.norm")
        yield Layer(f"{prefix}_maxpool_{level}")
    yield _convolution(f"{prefix}_final_conv_0", "final.0")
    yield _convolution(f"{prefix}_final_conv_1", "final.1")
    yield Layer(f"{prefix}_final_pred")


def _convolution(name: str, module: str) -> Layer:
    return Layer(name, {"kernel": f"{module}.weight", "bias": f"{module}.bias"})


def _batch_norm(name: str, module: str) -> Layer:
    parts = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    return Layer(name, {key: f"{module}.{part}" for key, part in parts.items()})


def _layer_groups(file: h5py.File) -> h5py.Group:
    whole = file.get(_WHOLE_MODEL_GROUP)
    return whole if isinstance(whole, h5py.Group) else file


def _read_layer(
    groups: h5py.Group, layer: Layer, shapes: Mapping[str, tuple[int, ...]], arrays: Arrays, faults: list[str]
) -> None:
    group = groups.get(layer.name)
    if not isinstance(group, h5py.Group):
        faults.append(f"no layer {layer.name}")
        return
    stored = _datasets(group)
    for key, name in layer.arrays.items():
        found, shape = stored.get(key, []), _keras_shape(shapes[name])
        if len(found) != 1:
            faults.append(f"{len(found) or 'no'} {key} in layer {layer.name}")
        elif found[0].shape != shape:
            faults.append(f"{layer.name}/{key} of shape {found[0].shape} instead of {shape}")
        else:
            arrays[name] = _to_torch(found[0][()])


def _keras_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in _TORCH_TO_KERAS) if len(shape) == 5 else shape


def _datasets(group: h5py.Group) -> dict[str, list[h5py.Dataset]]:
    """Arrays below a layer's group by their last name, for instance ``kernel`` for ``unet_likelihood/kernel:0``."""
    found: dict[str, list[h5py.Dataset]] = {}

    def collect(name: str | bytes, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found.setdefault(os.fsdecode(name).rpartition("/")[2].partition(":")[0], []).append(item)

    group.visititems(collect)
    return found


def _to_torch(array: NDArray[Any]) -> NDArray[np.float32]:
    moved = array.transpose(_KERAS_TO_TORCH) if array.ndim == 5 else array
    return np.ascontiguousarray(moved, dtype=np.float32)


def _write_layer(group: h5py.Group, layer: Layer, arrays: Mapping[str, NDArray[Any]]) -> None:
    names = {key: f"{layer.name}/{key}:0" for key in layer.arrays}
    group.attrs["weight_names"] = np.array([name.encode() for name in names.values()], dtype="S")
    for key, name in layer.arrays.items():
        array = np.asarray(arrays[name], dtype=np.float32)
        moved = array.transpose(_TORCH_TO_KERAS) if array.ndim == 5 else array
        group.create_dataset(names[key], data=np.ascontiguousarray(moved))
