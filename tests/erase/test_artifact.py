"""Artifacts: what is written, that nothing damaged is ever read, that no accident loses what was there."""

import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from unsee.erase.artifact import TensorSpec, content_id, load_artifact, read_config, save_artifact
from unsee.errors import ArtifactError, SaveError
from unsee.shapes import Tensor

SPECS: dict[str, TensorSpec] = {
    "gate.weight": (torch.float32, ("K", "F", "D")),
    "gate.bias": (torch.float64, ("K",)),
    "direction": (torch.bfloat16, ("L", "D")),
    "strength": (torch.float32, ()),
    "steps": (torch.int64, (2,)),
}
FILE = "eraser.safetensors"


def make_config(**changes: object) -> dict[str, Any]:
    config: dict[str, Any] = {
        "base_model": {"id": "tiny/llava", "revision": None, "digest": "sha256:ab"},
        "family": "llava",
        "layers": [3, 5],
        "hidden_size": 4,
        "method": "ridge",
        "settings": {"gamma": 0.1, "note": "caf\u00e9", "thresholds": [0.5, 1e-12, -0.0]},
        "counts": {"forget": 10, "retain": 100},
        "created": "2025-01-01T00:00:00Z",
        "libraries": {"torch": "2.13"},
    }
    return {**config, **changes}


def make_tensors(**changes: Tensor) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "gate.weight": torch.randn(3, 2, 4, generator=generator),
        "gate.bias": torch.randn(3, generator=generator, dtype=torch.float64),
        "direction": torch.randn(2, 4, generator=generator).bfloat16(),
        "strength": torch.tensor(1.5),
        "steps": torch.tensor([0, -7]),
    }
    return {**tensors, **changes}


def save(home: Path, config: dict[str, Any] | None = None, tensors: dict[str, Tensor] | None = None) -> str:
    config = config or make_config()
    return save_artifact(home, "eraser", config, tensors or make_tensors(), f"# Card of {config['method']}\n")


def load_id(home: Path) -> str:
    return load_artifact(home, "eraser", SPECS).content_id


def refusal(home: Path, specs: dict[str, TensorSpec] | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        load_artifact(home, "eraser", SPECS if specs is None else specs)
    assert str(home) in str(caught.value)
    return str(caught.value)


def contents(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}


def files_and_folders(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "r-0001"


def rewrite_header(home: Path, change: Callable[[str], str]) -> None:
    data = (home / FILE).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = change(data[8 : 8 + length].decode()).encode()
    (home / FILE).write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])


def rewrite_config(home: Path, change: Callable[[str], str]) -> None:
    """Put another config text into the file, and leave everything else as it is."""

    def changed(header: str) -> str:
        parsed = json.loads(header)
        parsed["__metadata__"]["unsee"] = change(parsed["__metadata__"]["unsee"])
        return json.dumps(parsed)

    rewrite_header(home, changed)


def with_field(field: str, value: object) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), field: value})


# What is written.


def test_what_is_saved_is_loaded(home: Path) -> None:
    name = save(home)
    artifact = load_artifact(home, "eraser", SPECS)
    assert files_and_folders(home) == ["README.md", FILE]
    assert artifact.content_id == artifact.config.content_id == name
    assert {**make_config(), "format_version": 2, "kind": "eraser", "content_id": name} == artifact.config.as_json()
    for key, tensor in make_tensors().items():
        assert artifact.tensors[key].dtype == tensor.dtype
        assert torch.equal(artifact.tensors[key], tensor)
    assert (home / "README.md").read_text() == "# Card of ridge\n"


def test_profile_has_its_own_file_names(home: Path) -> None:
    save_artifact(home, "profile", make_config(), make_tensors(), "")
    assert sorted(contents(home)) == ["README.md", "profile.safetensors"]
    assert load_artifact(home, "profile", SPECS).config.kind == "profile"
    assert refusal(home) == f"{home}: holds a saved profile, expected a saved eraser. Check the path."


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    backwards = dict(reversed(make_tensors().items()))
    save(tmp_path / "a")
    save(tmp_path / "b", dict(reversed(make_config().items())), backwards)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    loaded = load_artifact(tmp_path / "a", "eraser", SPECS)
    save(tmp_path / "c", loaded.config.as_json(), loaded.tensors)
    assert contents(tmp_path / "a") == contents(tmp_path / "c")


def test_memory_layout_does_not_matter(tmp_path: Path) -> None:
    weight = make_tensors()["gate.weight"]
    strided = weight.permute(2, 0, 1).contiguous().permute(1, 2, 0).requires_grad_()
    assert not strided.is_contiguous()
    assert save(tmp_path / "a") == save(tmp_path / "b", tensors=make_tensors(**{"gate.weight": strided}))
    shared = torch.ones(2, 2)
    save(tmp_path / "c", tensors={"a": shared, "b": shared, "c": shared[0]})


def test_content_id_against_the_formula_written_out() -> None:
    config = {"b": [1, 0.1, None], "a": {"\u00e9": True}, "created": "now", "libraries": {}, "content_id": "x"}
    tensors = {"w": torch.tensor([[1.0, -2.0]]), "b": torch.tensor([1, 2], dtype=torch.int64)}
    parts = [
        b'{"a":{"\\u00e9":true},"b":[1,0.1,null]}',
        *(b"b", b"I64", b"[2]", struct.pack("<2q", 1, 2)),
        *(b"w", b"F32", b"[1, 2]", struct.pack("<2f", 1.0, -2.0)),
    ]
    oracle = hashlib.sha256(b"".join(struct.pack("<Q", len(part)) + part for part in parts)).hexdigest()
    assert content_id(config, tensors) == f"sha256:{oracle}"


def test_content_id_sees_every_bit_and_every_field() -> None:
    config, tensors = make_config(), make_tensors()
    names = [content_id(config, tensors)]
    for key, tensor in tensors.items():
        for bit in range(tensor.numel() * tensor.element_size() * 8):
            octets = tensor.clone().reshape(-1).view(torch.uint8)
            octets[bit // 8] ^= 1 << (bit % 8)
            names.append(content_id(config, {**tensors, key: octets.view(tensor.dtype).reshape(tensor.shape)}))
    names += [content_id({**config, key: "changed"}, tensors) for key in config if key not in ("created", "libraries")]
    weight = tensors["gate.weight"]
    names.append(content_id(config, {**tensors, "gate.weight": weight.reshape(3, 4, 2)}))
    names.append(content_id(config, {**tensors, "gate.weight": weight.view(torch.int32)}))
    names.append(content_id(config, {key.replace("bias", "bia"): tensor for key, tensor in tensors.items()}))
    names.append(content_id({**config, "hidden_size": 4.0}, tensors))
    assert len(set(names)) == len(names)
    assert content_id({**config, "created": "later", "content_id": "?"}, tensors) == names[0]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_get_the_mode_of_the_umask(home: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        save(home)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()} == {mode}


def test_links_are_followed_when_read_and_replaced_when_written(tmp_path: Path, home: Path) -> None:
    first = save(tmp_path / "blobs")
    blobs = contents(tmp_path / "blobs")
    home.mkdir()
    for blob in blobs:
        (home / blob).symlink_to(tmp_path / "blobs" / blob)
    (tmp_path / "link").symlink_to(home)
    assert load_id(tmp_path / "link") == first
    second = save(tmp_path / "link", make_config(method="other"))
    assert load_id(home) == second != first
    assert not (home / FILE).is_symlink()
    assert contents(tmp_path / "blobs") == blobs


# What is not written.


@pytest.mark.parametrize(
    ("config", "tensors", "text"),
    [
        ({"settings": {"x": float("nan")}}, {}, "JSON"),
        ({"settings": {"x": torch.ones(1)}}, {}, "Tensor is not JSON serializable"),
        ({"settings": {1: "a", "1": "b"}}, {}, "JSON cannot"),
        ({"settings": {"x": "y" * 2_000_000}}, {}, "larger than 1048576 bytes"),
        ({"layers": []}, {}, "layers is [], expected"),
        ({"seed": 1}, {}, "seed is 1, expected: no such field"),
        ({}, {"../../x": torch.ones(1)}, "tensor name '../../x' is not allowed"),
        ({}, {"__metadata__": torch.ones(1)}, "tensor name '__metadata__' is not allowed"),
        ({}, {"w": torch.ones(2, dtype=torch.complex64)}, "tensor 'w' is torch.complex64, expected one of"),
        ({}, {"w": torch.tensor([1.0, float("inf"), float("nan")])}, "tensor 'w' has 2 of 3 values NaN or infinite"),
        ({}, {"w": torch.full((2, 2), 1e30)}, "tensor 'w' has a vector of norm 1.41e+30, expected at most 1e+06"),
        ({}, {"w": torch.tensor(1e200, dtype=torch.float64)}, "tensor 'w' has a vector of norm"),
        ({}, {"w": torch.ones(0, 4)}, "tensor 'w' has shape [0, 4], expected at least one value"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(
    home: Path, config: dict[str, object], tensors: dict[str, Tensor], text: str
) -> None:
    kept = save(home)
    before = contents(home)
    with pytest.raises(ArtifactError) as caught:
        save(home, make_config(**config), make_tensors(**tensors))
    assert text in str(caught.value)
    assert contents(home) == before
    assert load_id(home) == kept


def test_a_long_half_precision_row_is_measured_without_overflow(home: Path) -> None:
    save_artifact(home, "profile", make_config(), {"x": torch.full((2, 300_000), 1000.0).half()}, "")
    specs: dict[str, TensorSpec] = {"x": (torch.float16, (2, "N"))}
    assert load_artifact(home, "profile", specs).tensors["x"].shape == (2, 300_000)


# Accidents while writing.


class Fault:
    """Lets an `os` function work `healthy` times, then fail for ever as on a full disk."""

    def __init__(self, function: Callable[..., Any], healthy: int) -> None:
        self.function = function
        self.left = healthy

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.left -= 1
        return self.function(*args, **kwargs)


@pytest.mark.parametrize("function", ["fsync", "replace", "open"])
def test_a_disk_that_fills_at_any_call_leaves_old_or_new(
    home: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    failures = 0
    for healthy in range(30):
        shutil.rmtree(home, ignore_errors=True)
        old = save(home)
        before = contents(home)
        with monkeypatch.context() as patch:
            patch.setattr(os, function, Fault(getattr(os, function), healthy))
            try:
                new = save(home, make_config(method="new"), make_tensors(strength=torch.tensor(2.0)))
            except SaveError as error:
                text = str(error)
            else:
                assert load_id(home) == new
                if contents(home)["README.md"] != before["README.md"]:
                    break
                continue
        assert f"cannot save {home / FILE}: No space left on device (errno 28); " in text
        failures += 1
        assert load_id(home) == (
            old if "what was there before is kept" in text else read_config(home, "eraser").content_id
        )
        assert files_and_folders(home) == sorted(before)
    else:
        pytest.fail("the save never came through")
    assert failures


def test_a_target_that_is_a_file_is_a_save_error(home: Path) -> None:
    home.write_text("mine")
    with pytest.raises(SaveError, match=r"File exists|Not a directory"):
        save(home)
    assert home.read_text() == "mine"


def kill_at(step: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child that is killed at its `step`-th operation on files; False when it ran to its end."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, _: object) -> None:
            nonlocal left
            if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"):
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        sys.addaudithook(count)
        try:
            action()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_kill_9_at_any_step_leaves_old_or_new(home: Path) -> None:
    changed = make_tensors(strength=torch.tensor(2.0))
    new = save(home, make_config(method="new"), changed)
    found: list[str] = []
    for step in range(30):
        shutil.rmtree(home)
        old = save(home)
        killed = kill_at(step, lambda: save(home, make_config(method="new"), changed))
        found.append(load_id(home))
        assert found[-1] in (old, new)
        if not killed:
            break
    assert found[0] != found[-1] == new
    assert found == sorted(found, key=[found[0], new].index), "once committed, committed"


# What is refused when read: the config.


def test_missing_things_are_named(home: Path) -> None:
    assert f"{home}: there is no such folder, expected a saved eraser or a hub id" in refusal(home)
    save(home)
    (home / FILE).unlink()
    assert f"{home / FILE}: cannot be read: No such file" in refusal(home)
    (home / FILE).mkdir()
    assert f"{home / FILE}: is not a file, expected one." in refusal(home)


def test_the_file_itself_may_be_named(home: Path) -> None:
    name = save(home)
    assert load_artifact(home / FILE, "eraser", SPECS).content_id == name


def test_a_pipe_is_refused_rather_than_waited_for(home: Path) -> None:
    save(home)
    (home / FILE).unlink()
    os.mkfifo(home / FILE)
    assert f"{home / FILE}: is not a file, expected one." in refusal(home)


@pytest.mark.parametrize(("version", "advice"), [(3, "Update unsee"), (1, "Fit it again")])
def test_another_format_names_both_versions(home: Path, version: int, advice: str) -> None:
    save(home)
    rewrite_config(home, with_field("format_version", version))
    message = refusal(home)
    assert f"format_version is {version}, this unsee reads 2" in message
    assert advice in message


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("format_version", 0, "format_version is 0, this unsee reads 2"),
        ("format_version", True, "format_version is True, expected"),
        ("kind", "profile", "kind is 'profile', expected 'eraser'"),
        ("base_model", "llava", "base_model is 'llava', expected"),
        ("base_model", {"id": "x", "digest": "y"}, "base_model"),
        ("base_model", {"id": "", "revision": None, "digest": "y"}, "base_model"),
        ("family", None, "family is None, expected"),
        ("layers", [3, 3], "layers is [3, 3], expected: distinct"),
        ("layers", [-1], "layers.0 is -1"),
        ("layers", [[0]], "layers.0 is [0]"),
        ("hidden_size", 4.0, "hidden_size is 4.0, expected"),
        ("method", "", "method is ''"),
        ("settings", [], "settings is [], expected"),
        ("counts", {"forget": -1}, "counts.forget is -1, expected"),
        ("created", 0, "created is 0"),
        ("libraries", {"torch": 2}, "libraries.torch is 2, expected"),
        ("content_id", "sha256:AB", "content_id is 'sha256:AB', expected"),
        ("colour", "red", "colour is 'red', expected: no such field"),
    ],
)
def test_a_wrong_config_field_is_named(home: Path, field: str, value: object, text: str) -> None:
    save(home)
    rewrite_config(home, with_field(field, value))
    assert text in refusal(home)


@pytest.mark.parametrize("field", [*make_config(), "format_version", "kind", "content_id"])
def test_a_missing_config_field_is_named(home: Path, field: str) -> None:
    save(home)
    rewrite_config(home, lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != field}))
    assert f"{field} is " in refusal(home)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "is JSON but a list, expected an object"),
        ("[" * 100_000, "is not JSON"),
        ('{"kind": "eraser", "kind": "eraser"}', "the field 'kind' is there twice"),
        ('{"settings": {"a": {"b": 1, "b": 1}}}', "the field 'b' is there twice"),
        ('{"settings": NaN}', "holds the number NaN"),
        ('{"settings": -1e999}', "holds the number -1e999"),
        ('{"hidden_size": ' + "9" * 5000 + "}", "4300"),
        (" " * 1_048_577, "is larger than 1048576 bytes"),
    ],
)
def test_a_config_that_is_not_clean_json_is_refused(home: Path, text: str, problem: str) -> None:
    save(home)
    rewrite_config(home, lambda _: text)
    assert problem in refusal(home)


def test_an_edited_setting_is_found_by_the_content_id(home: Path) -> None:
    name = save(home)
    rewrite_config(home, with_field("settings", {"gamma": 0.2}))
    assert f"content_id in the config is {name}, but the contents give sha256:" in refusal(home)


# What is refused when read: the tensors.


@pytest.mark.parametrize(
    ("name", "spec", "text"),
    [
        ("gate.bias", (torch.float32, ("K",)), "tensor 'gate.bias' has dtype 'F64', expected 'F32'"),
        (
            "gate.bias",
            (torch.float64, ("D",)),
            "tensor 'gate.bias' has shape [3], expected [D] with D = 4 (hidden_size",
        ),
        ("gate.bias", (torch.float64, ("L",)), "expected [L] with L = 2 (the number of layers in the config)"),
        ("gate.bias", (torch.float64, ("F",)), "expected [F] with F = 2 (tensor 'gate.weight')"),
        ("gate.bias", (torch.float64, (9,)), "expected [9] with 9 = 9 (always)"),
        ("gate.bias", (torch.float64, ("K", 1)), "has shape [3], expected [K, 1] of whole numbers from 1"),
        ("missing", (torch.float64, ()), "tensor 'missing' is missing, expected exactly ["),
    ],
)
def test_a_tensor_that_was_not_expected_is_named(home: Path, name: str, spec: TensorSpec, text: str) -> None:
    save(home)
    message = refusal(home, {**SPECS, name: spec})
    assert message.startswith(f"{home / FILE}: tensor {name!r}")
    assert text in message


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"gate.weight": torch.full((3, 2, 4), float("nan"))}, "tensor 'gate.weight' has 24 of 24 values NaN"),
        ({"direction": torch.full((2, 4), 1e30).bfloat16()}, "tensor 'direction' has a vector of norm 2e+30"),
        ({"gate.weight": torch.ones(3, 2, 5)}, "with D = 4 (hidden_size in the config)"),
        ({"direction": torch.ones(3, 4).bfloat16()}, "with L = 2 (the number of layers in the config)"),
        ({"gate.weight": torch.ones(0, 2, 4)}, "has shape [0, 2, 4], expected [K, F, D] of whole numbers from 1"),
        ({"strength": torch.ones(1)}, "tensor 'strength' has shape [1], expected []"),
        ({"steps": torch.ones(2)}, "tensor 'steps' has dtype 'F32', expected 'I64'"),
        ({"../../x": torch.ones(1)}, "tensor name '../../x' is not allowed"),
    ],
)
def test_a_sound_file_with_wrong_contents_is_refused(home: Path, change: dict[str, Tensor], text: str) -> None:
    save(home)
    config = read_config(home, "eraser").as_json()
    safetensors.torch.save_file(make_tensors(**change), home / FILE, {"unsee": json.dumps(config)})
    message = refusal(home)
    assert message.startswith(str(home / FILE))
    assert text in message


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda h: h.replace('"unsee":', '"format":'), "expected the config of an artifact under 'unsee'"),
        (lambda h: h.replace('"unsee":', '"a":"b","unsee":'), "expected the config of an artifact under 'unsee'"),
        (lambda h: h.replace('"F64"', "[[]]"), "is not a sound safetensors file"),
        (lambda h: h.replace("[3,2,4]", "[3,true,4]"), "is not a sound safetensors file"),
        (lambda h: h.replace("[3,2,4]", f"[3,{2**63},4]"), "is not a sound safetensors file"),
        (lambda h: h.replace('"data_offsets":[', '"data_offsets":[-'), "is not a sound safetensors file"),
        (lambda h: h.replace("gate.bias", "gate/bias"), "tensor name 'gate/bias' is not allowed"),
        (lambda _: "{}", "is not a sound safetensors file"),
        (lambda _: "[" * 100_000, "is not a sound safetensors file"),
        (lambda _: "", "is not a sound safetensors file"),
    ],
)
def test_a_forged_header_is_refused(home: Path, change: Callable[[str], str], text: str) -> None:
    save(home)
    before = (home / FILE).read_bytes()
    rewrite_header(home, change)
    assert (home / FILE).read_bytes() != before
    message = refusal(home)
    assert message.startswith(str(home / FILE))
    assert text in message


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda data: data[:7],
        lambda data: data[:100],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"\xff" * 8 + data[8:],
    ],
)
def test_a_file_of_the_wrong_length_is_refused(home: Path, change: Callable[[bytes], bytes]) -> None:
    save(home)
    path = home / FILE
    path.write_bytes(change(path.read_bytes()))
    assert refusal(home).startswith(f"{path}: ")


def test_a_flipped_bit_in_the_data_is_found(home: Path) -> None:
    save(home)
    path = home / FILE
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "was damaged or edited" in refusal(home)


@pytest.fixture(scope="module")
def sound() -> Iterator[tuple[Path, str, dict[str, bytes]]]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "r"
        name = save(home)
        yield home, name, contents(home)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(["flip", "truncate", "insert", "delete"]), st.floats(0, 1), st.binary(min_size=1)),
        min_size=1,
        max_size=3,
    ),
)
@example(changes=[("truncate", 0.0, b"x")])
def test_mutated_files_are_refused_or_still_verify(
    sound: tuple[Path, str, dict[str, bytes]], changes: list[tuple[str, float, bytes]]
) -> None:
    home, name, files = sound
    data = bytearray(files[FILE])
    for change, where, inserted in changes:
        at = int(where * max(len(data) - 1, 0))
        if change == "flip" and data:
            data[at] ^= 1 << (inserted[0] % 8)
        elif change == "truncate":
            del data[at:]
        elif change == "insert":
            data[at:at] = inserted
        else:
            del data[at : at + len(inserted)]
    try:
        (home / FILE).write_bytes(data)
        artifact = load_artifact(home, "eraser", SPECS)
    except ArtifactError as error:
        assert str(home) in str(error)
        return
    finally:
        (home / FILE).write_bytes(files[FILE])
    assert artifact.content_id == name == content_id(artifact.config.as_json(), artifact.tensors)
    assert all(torch.equal(artifact.tensors[key], tensor) for key, tensor in make_tensors().items())
