"""Weights: layer names, both Keras layouts, safetensors, damaged files, and where files are looked for."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from synthseg_core.errors import OutputError, WeightsError
from synthseg_core.models.arrays import load_state, read_metadata, save_safetensors
from synthseg_core.models.keras_file import layers_of, write_keras
from synthseg_core.models.registry import load_card, registered_models
from synthseg_core.models.weights import find_weights
from synthseg_core.networks.arrays import array_shapes
from synthseg_core.networks.config import NetworkSpec, RegressorConfig, UNetConfig
from synthseg_core.system.file_identity import sha256_of

UNET = NetworkSpec("segmenter", "unet", UNetConfig(in_channels=2, out_channels=3, features=2, levels=3))
DENOISER = NetworkSpec(
    "denoiser", "l2l", UNetConfig(in_channels=3, out_channels=3, features=2, levels=3, kernel_size=5, skips=(0,))
)
QC = NetworkSpec("regressor", "qc", RegressorConfig(in_channels=2, out_channels=3, features=2, levels=2, kernel_size=3))


def random_state(spec: NetworkSpec, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in array_shapes(spec.config).items()}


def assert_same(state: dict, other: dict) -> None:
    assert list(state) == list(other)
    for name, array in state.items():
        np.testing.assert_array_equal(array, other[name])
        assert other[name].dtype == np.float32


def write_by_hand(path: Path, layers: dict[str, dict[str, np.ndarray]], *, root: str = "", text: type = bytes) -> None:
    """A Keras file as Keras itself writes it, with attributes as bytes or as text."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        for name, arrays in layers.items():
            layer = group.create_group(name)
            names = [f"{name}/{key}:0" for key in arrays]
            layer.attrs["weight_names"] = [n.encode() for n in names] if text is bytes else names
            for full, array in zip(names, arrays.values(), strict=True):
                layer.create_dataset(full, data=array)
        layer_names = [*layers, "unet_maxpool_0"]
        group.attrs["layer_names"] = [n.encode() for n in layer_names] if text is bytes else layer_names
        group.create_group("unet_maxpool_0").attrs["weight_names"] = np.array([])


@pytest.fixture
def keras_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.h5"
    write_keras(path, [(UNET, random_state(UNET))])
    return path


# Layer names


def test_unet_layers_worked_by_hand():
    layers = {layer.name: layer.arrays for layer in layers_of(UNET)}
    assert list(layers) == [
        *("unet_conv_downarm_0_0", "unet_conv_downarm_0_1", "unet_bn_down_0", "unet_maxpool_0"),
        *("unet_conv_downarm_1_0", "unet_conv_downarm_1_1", "unet_bn_down_1", "unet_maxpool_1"),
        *("unet_conv_downarm_2_0", "unet_conv_downarm_2_1", "unet_bn_down_2"),
        *("unet_up_3", "unet_merge_3", "unet_conv_uparm_3_0", "unet_conv_uparm_3_1", "unet_bn_up_0"),
        *("unet_up_4", "unet_merge_4", "unet_conv_uparm_4_0", "unet_conv_uparm_4_1", "unet_bn_up_1"),
        *("unet_likelihood", "unet_prediction"),
    ]
    assert layers["unet_maxpool_0"] == {}
    assert layers["unet_conv_downarm_0_0"] == {"kernel": "down.0.conv0.weight", "bias": "down.0.conv0.bias"}
    assert layers["unet_likelihood"] == {"kernel": "head.weight", "bias": "head.bias"}
    assert layers["unet_bn_up_0"] == {
        "gamma": "up.0.norm.weight",
        "beta": "up.0.norm.bias",
        "moving_mean": "up.0.norm.running_mean",
        "moving_variance": "up.0.norm.running_var",
    }


@pytest.mark.parametrize("spec", [UNET, DENOISER, QC], ids=lambda spec: spec.role)
def test_layers_name_every_array_of_the_network_once(spec):
    names = [name for layer in layers_of(spec) for name in layer.arrays.values()]
    assert names == list(array_shapes(spec.config))


@pytest.mark.parametrize("option", [{"norm": "group"}, {"activation": "leaky_relu"}, {"widths": (2, 3, 4)}], ids=str)
def test_networks_of_another_design_have_no_keras_layers(tmp_path, keras_file, option):
    spec = replace(UNET, config=replace(UNET.config, **option))
    name, value = next(iter(option.items()))
    said = re.escape(f"network unet (segmenter): found {name} {value!r}; expected a network of the design of SynthSeg")
    with pytest.raises(WeightsError, match=f"{said}.*as safetensors"):
        load_state(keras_file, spec)
    with pytest.raises(WeightsError, match=said):
        write_keras(tmp_path / "other.h5", [(spec, random_state(spec))])
    assert not (tmp_path / "other.h5").exists()
    save_safetensors(tmp_path / "w.safetensors", [(spec, random_state(spec))])
    assert_same(random_state(spec), load_state(tmp_path / "w.safetensors", spec))


# Keras files


@pytest.mark.parametrize("root", ["", "model_weights"])
@pytest.mark.parametrize("text", [bytes, str])
def test_keras_file_of_either_layout(tmp_path, root, text):
    state = random_state(UNET)
    arrays = {
        layer.name: {
            key: state[name].transpose(2, 3, 4, 1, 0) if state[name].ndim == 5 else state[name]
            for key, name in layer.arrays.items()
        }
        for layer in layers_of(UNET)
        if layer.arrays
    }
    arrays["other_network_layer"] = {"kernel": np.zeros((1, 1, 1, 7, 7))}
    write_by_hand(tmp_path / "hand.h5", arrays, root=root, text=text)
    assert_same(state, load_state(tmp_path / "hand.h5", UNET))


def test_kernel_axes_move_and_nothing_is_flipped(tmp_path):
    spec = NetworkSpec("segmenter", "u", UNetConfig(in_channels=2, out_channels=3, features=1, levels=2))
    state = random_state(spec)
    write_keras(tmp_path / "w.h5", [(spec, state)])
    with h5py.File(tmp_path / "w.h5") as file:
        kernel = file["u_conv_downarm_0_0/u_conv_downarm_0_0/kernel:0"][()]
        assert list(file["u_bn_up_0"].attrs["weight_names"]) == [
            b"u_bn_up_0/gamma:0",
            b"u_bn_up_0/beta:0",
            b"u_bn_up_0/moving_mean:0",
            b"u_bn_up_0/moving_variance:0",
        ]
    assert kernel.shape == (3, 3, 3, 2, 1)
    assert kernel[0, 1, 2, 1, 0] == state["down.0.conv0.weight"][0, 1, 0, 1, 2]


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    unet=st.builds(
        UNetConfig,
        in_channels=st.integers(1, 3),
        out_channels=st.integers(1, 4),
        features=st.integers(1, 3),
        levels=st.integers(2, 4),
        kernel_size=st.sampled_from([1, 3]),
        skips=st.one_of(st.none(), st.sets(st.integers(0, 2)).map(lambda s: tuple(sorted(s)))),
    ),
    regressor=st.builds(
        RegressorConfig,
        in_channels=st.integers(1, 3),
        out_channels=st.integers(1, 3),
        features=st.integers(1, 2),
        levels=st.integers(1, 3),
        kernel_size=st.sampled_from([2, 3]),
    ),
    seed=st.integers(0, 1000),
)
def test_any_networks_survive_both_formats(tmp_path, unet, regressor, seed):
    first, second = NetworkSpec("segmenter", "a", unet), NetworkSpec("regressor", "b", regressor)
    networks = [(first, random_state(first, seed)), (second, random_state(second, seed + 1))]
    write_keras(tmp_path / "w.h5", networks)
    save_safetensors(tmp_path / "w.safetensors", networks)
    for spec, state in networks:
        assert_same(state, load_state(tmp_path / "w.h5", spec))
        assert_same(state, load_state(tmp_path / "w.safetensors", spec))


def test_the_format_is_recognised_by_content(tmp_path, keras_file):
    renamed = keras_file.rename(tmp_path / "tiny.safetensors")
    assert_same(random_state(UNET), load_state(renamed, UNET))


def test_files_can_be_read_by_whom_other_files_can_be_read(tmp_path):
    """Weights lie in folders that groups share."""
    networks = [(UNET, random_state(UNET))]
    write_keras(tmp_path / "w.h5", networks)
    save_safetensors(tmp_path / "w.safetensors", networks)
    (tmp_path / "plain").touch()
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_same_arrays_same_bytes(tmp_path):
    networks = [(UNET, random_state(UNET)), (QC, random_state(QC))]
    for name in ("a", "b"):
        write_keras(tmp_path / f"{name}.h5", networks)
        save_safetensors(tmp_path / f"{name}.st", networks, metadata=dict.fromkeys("uvwxyz", ""))
    assert sha256_of(tmp_path / "a.h5") == sha256_of(tmp_path / "b.h5")
    assert sha256_of(tmp_path / "a.st") == sha256_of(tmp_path / "b.st")


def test_doubles_and_halves_in_a_keras_file_become_float32(tmp_path, keras_file):
    with h5py.File(keras_file, "a") as file:
        for kind, key in ((np.float64, "bias"), (np.float16, "kernel")):
            name = f"unet_likelihood/unet_likelihood/{key}:0"
            values = file[name][()].astype(kind)
            del file[name]
            file[name] = values
    assert load_state(keras_file, UNET)["head.weight"].dtype == np.float32


# Faults


def test_every_missing_layer_and_wrong_shape_is_counted_and_the_first_are_listed(keras_file):
    with h5py.File(keras_file, "a") as file:
        del file["unet_conv_downarm_0_0"]
        del file["unet_bn_down_1/unet_bn_down_1/gamma:0"]
        name = "unet_conv_uparm_3_0/unet_conv_uparm_3_0/kernel:0"
        del file[name]
        file[name] = np.zeros((3, 3, 3, 8, 4))
    with pytest.raises(WeightsError) as caught:
        load_state(keras_file, UNET)
    message = str(caught.value)
    assert "no layer unet_conv_downarm_0_0" in message
    assert "no gamma in layer unet_bn_down_1" in message
    assert "unet_conv_uparm_3_0/kernel of shape (3, 3, 3, 8, 4) instead of (3, 3, 3, 12, 4)" in message
    assert "\n" not in message
    assert "more faults" not in message


def test_a_long_list_of_faults_is_cut(keras_file):
    with pytest.raises(WeightsError, match=r"no layer qc_conv_downarm_0_0; .*; and 4 more faults"):
        load_state(keras_file, QC)


def test_an_array_that_occurs_twice_is_a_fault(keras_file):
    with h5py.File(keras_file, "a") as file:
        file["unet_likelihood/old/bias:0"] = np.zeros(3)
    with pytest.raises(WeightsError, match="2 bias in layer unet_likelihood"):
        load_state(keras_file, UNET)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    state = random_state(UNET)
    state["head.bias"][1] = value
    write_keras(tmp_path / "nan.h5", [(UNET, state)])
    with pytest.raises(WeightsError, match=r"values in head.bias that are not finite"):
        load_state(tmp_path / "nan.h5", UNET)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"../../.git/annex/objects/bee/241/SHA256E-s53079152--f190.0.h5/SHA256E-s53079152--f190.0.h5", "git-annex"),
        (b"/annex/objects/SHA256E-s53079152--f190.0.h5\n", "git-annex pointer"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:f190\nsize 53079152\n", "git-lfs pointer"),
        (b"\n <!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b"PK\x03\x04rest", "a checkpoint that cannot be opened"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"just words", "a text file"),
        (bytes(200), "unknown kind"),
        (b"\x93NUMPY\xff\xfe", "unknown kind"),
    ],
)
def test_files_that_are_no_weights_are_named_for_what_they_are(tmp_path, content, said):
    path = tmp_path / "synthseg_2.0.h5"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        load_state(path, UNET)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot be read \(No such file"):
        load_state(tmp_path / "nothing.h5", UNET)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_state(tmp_path, UNET)


def test_a_truncated_keras_file_at_any_length(keras_file):
    whole = keras_file.read_bytes()
    for size in range(8, len(whole), len(whole) // 50):
        keras_file.write_bytes(whole[:size])
        with pytest.raises(WeightsError):
            load_state(keras_file, UNET)


def test_a_keras_file_with_bytes_changed_never_raises_anything_else(keras_file):
    whole, rng = keras_file.read_bytes(), np.random.default_rng(1)
    outcomes = set()
    for _ in range(200):
        damaged = bytearray(whole)
        for position in rng.integers(8, 6000, 12):
            damaged[position] = rng.integers(256)
        keras_file.write_bytes(damaged)
        try:
            load_state(keras_file, UNET)
            outcomes.add("loaded")
        except WeightsError:
            outcomes.add("refused")
    assert "refused" in outcomes


# safetensors


def test_half_precision_is_half_the_size_and_read_as_float32(tmp_path):
    state = random_state(UNET)
    save_safetensors(tmp_path / "full.safetensors", [(UNET, state)])
    save_safetensors(tmp_path / "half.safetensors", [(UNET, state)], half=True)
    loaded = load_state(tmp_path / "half.safetensors", UNET)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.75 * (tmp_path / "full.safetensors").stat().st_size
    for name, array in state.items():
        assert loaded[name].dtype == np.float32
        np.testing.assert_allclose(loaded[name], array, rtol=1e-3, atol=1e-4)


def test_safetensors_keys_carry_the_prefix_and_leave_counters_out(tmp_path):
    state = {**random_state(UNET), "down.0.norm.num_batches_tracked": np.array(7)}
    save_safetensors(tmp_path / "w.safetensors", [(UNET, state)], metadata={"origin": "here"})
    assert set(load_file(tmp_path / "w.safetensors")) == {f"unet.{name}" for name in array_shapes(UNET.config)}
    assert read_metadata(tmp_path / "w.safetensors") == {"origin": "here"}


def test_metadata_of_a_file_from_elsewhere_is_empty(tmp_path):
    save_file({"x": np.zeros(1)}, tmp_path / "x.safetensors")
    assert read_metadata(tmp_path / "x.safetensors") == {}


def test_safetensors_faults_are_listed(tmp_path):
    arrays = {f"unet.{name}": array for name, array in random_state(UNET).items()}
    del arrays["unet.head.bias"]
    arrays["unet.down.0.norm.weight"] = np.zeros(9, np.float32)
    arrays["unet.down.0.norm.bias"] = np.zeros(2, np.int32)
    save_file(arrays, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_state(tmp_path / "w.safetensors", UNET)
    for said in ("no array unet.head.bias", "norm.weight of shape (9,) instead of (2,)", "norm.bias of type I32"):
        assert said in str(caught.value)


def test_truncated_safetensors(tmp_path):
    save_safetensors(tmp_path / "w.safetensors", [(UNET, random_state(UNET))])
    whole = (tmp_path / "w.safetensors").read_bytes()
    for size in (12, 200, len(whole) - 1):
        (tmp_path / "w.safetensors").write_bytes(whole[:size])
        with pytest.raises(WeightsError, match="damaged or truncated safetensors"):
            load_state(tmp_path / "w.safetensors", UNET)


@pytest.mark.parametrize("write", [write_keras, save_safetensors])
def test_incomplete_networks_are_not_written(tmp_path, write):
    state = random_state(UNET)
    del state["head.bias"]
    with pytest.raises(WeightsError, match=r"1 arrays missing or of another shape, first head.bias"):
        write(tmp_path / "w", [(UNET, state)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "half"), [(np.inf, True), (np.nan, False)])
def test_values_that_do_not_fit_are_not_written(tmp_path, value, half):
    state = random_state(UNET)
    state["head.bias"][0] = value
    with pytest.raises(WeightsError, match="not finite or too large"):
        save_safetensors(tmp_path / "w.safetensors", [(UNET, state)], half=half)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_keras(tmp_path / "file" / "w.h5", [(UNET, random_state(UNET))])


def test_weights_do_not_import_torch():
    code = "import sys, synthseg_core.models.weights; sys.exit('torch' in sys.modules or 'nibabel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The reference's files

_CARDS = {name: load_card(name).weights for name in registered_models()}
PUBLISHED = [name for name, weights in _CARDS.items() if weights.urls and weights.file.endswith(".h5")]


@pytest.mark.golden
@pytest.mark.weights
@pytest.mark.parametrize("model", PUBLISHED)
def test_reference_weight_files_load_completely(model, reference_weights, tmp_path):
    card = load_card(model)
    found = find_weights(card, reference_weights)
    assert found.published is False
    networks = [(spec, load_state(found.path, spec)) for spec in card.networks]
    ours = [layer.name for spec, _ in networks for layer in layers_of(spec) if layer.arrays]
    with h5py.File(found.path) as file:
        root = file.get("model_weights", file)
        names = [name.decode() if isinstance(name, bytes) else name for name in root.attrs["layer_names"]]
        assert ours == [name for name in names if len(root[name].attrs["weight_names"])]
        total = sum(root[name][weight].size for name in names for weight in root[name].attrs["weight_names"])
        first = root[ours[0]]
        np.testing.assert_array_equal(
            first[first.attrs["weight_names"][0]][()].transpose(4, 3, 0, 1, 2),
            networks[0][1]["down.0.conv0.weight"],
        )
    assert sum(array.size for _, state in networks for array in state.values()) == total


def _tree(root: h5py.Group) -> dict[str, object]:
    """Everything in a Keras tree: attributes with their types, arrays with their types and values."""
    found: dict[str, object] = {"": _attributes(root)}

    def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
        stored = (item.dtype, item.shape, item[()].tobytes()) if isinstance(item, h5py.Dataset) else None
        found[name] = (stored, _attributes(item))

    root.visititems(collect)
    return found


def _attributes(item: h5py.Group | h5py.Dataset) -> dict[str, object]:
    types = {name: item.attrs.get_id(name) for name in item.attrs}
    return {name: (np.asarray(item.attrs[name]).tolist(), types[name].dtype, types[name].shape) for name in types}


@pytest.mark.golden
@pytest.mark.weights
@pytest.mark.parametrize("model", PUBLISHED)
def test_files_written_here_are_those_of_keras_in_every_group_attribute_and_array(model, reference_weights, tmp_path):
    """So that networks trained here run in the original program."""
    card = load_card(model)
    path = find_weights(card, reference_weights).path
    write_keras(tmp_path / "again.h5", [(spec, load_state(path, spec)) for spec in card.networks])
    with h5py.File(path) as published, h5py.File(tmp_path / "again.h5") as again:
        assert _tree(again) == _tree(published.get("model_weights", published))
