"""Image configurations as Docker, BuildKit and umoci write them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.digest import DiffID
from lamina.oci.config import (
    Healthcheck,
    History,
    ImageConfig,
    RootFS,
    RuntimeConfig,
    decode_config,
    encode_config,
    image_id,
)

HEX = "sha256:" + "0" * 64


def raw(config: Any = "absent", **changes: Any) -> bytes:
    document: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [HEX]},
        **({} if config == "absent" else {"config": config}),
        **changes,
    }
    return json.dumps({key: value for key, value in document.items() if value != "absent"}).encode()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("absent", RuntimeConfig()),
        (None, RuntimeConfig()),
        ({}, RuntimeConfig()),
        ({"Cmd": None, "Entrypoint": None, "Env": None, "Labels": None, "Volumes": None}, RuntimeConfig()),
        ({"Cmd": [], "Entrypoint": ["/a", "b"]}, RuntimeConfig(cmd=(), entrypoint=("/a", "b"))),
        ({"Env": ["A=1", "B=", "A=2"]}, RuntimeConfig(env=("A=1", "B=", "A=2"))),
        ({"ExposedPorts": {"80/tcp": {}}}, RuntimeConfig(exposed_ports={"80/tcp": {}})),
        ({"ExposedPorts": {"80/tcp": None}}, RuntimeConfig(exposed_ports={"80/tcp": {}})),
        ({"Volumes": {"/data": None, "/x": {}}}, RuntimeConfig(volumes={"/data": {}, "/x": {}})),
        ({"Labels": {"a": "b", "c": None}}, RuntimeConfig(labels={"a": "b", "c": ""})),
        ({"User": "1:2", "WorkingDir": "/w", "StopSignal": "9"},
         RuntimeConfig(user="1:2", working_dir="/w", stop_signal="9")),
        ({"Healthcheck": {"Test": ["CMD", "x"], "Interval": 3, "StartPeriod": 5, "Retries": 2}},
         RuntimeConfig(healthcheck=Healthcheck(("CMD", "x"), interval=3, start_period=5, retries=2))),
        ({"Shell": ["/bin/bash"], "OnBuild": ["RUN x"], "ArgsEscaped": True},
         RuntimeConfig(shell=("/bin/bash",), on_build=("RUN x",), args_escaped=True)),
        ({"Hostname": "x", "Tty": False, "Image": "", "Unheard": {"of": [1]}}, RuntimeConfig()),
    ],
)  # fmt: skip
def test_the_runtime_part(config: Any, expected: RuntimeConfig) -> None:
    assert decode_config(raw(config)).runtime == expected


def test_the_rest() -> None:
    found = decode_config(
        raw(
            variant="v8",
            created="2024-01-02T03:04:05Z",
            author="ann",
            history=[{"created_by": "RUN x"}, {"created": None, "empty_layer": True, "comment": "c"}],
            docker_version="20.10",
        )
    )
    assert (found.variant, found.created, found.author) == ("v8", "2024-01-02T03:04:05Z", "ann")
    assert found.history == (History(created_by="RUN x"), History(comment="c", empty_layer=True))
    assert found.rootfs == RootFS("layers", (DiffID(HEX),))
    assert str(found.platform) == "linux/amd64/v8"
    assert decode_config(raw(history=None)).history == ()


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"[" * 100_000,
        raw(os="absent"),
        raw(rootfs="absent"),
        raw(rootfs={"type": "layers"}),
        raw(rootfs={"type": "layers", "diff_ids": ["../x"]}),
        raw(config=[]),
        raw({"Env": "A=1"}),
        raw({"Env": [None, 5]}),
        raw({"ExposedPorts": ["80"]}),
        raw(history={}),
    ],
)
def test_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an image configuration|not a sha256 digest"):
        decode_config(broken)


def test_empty_and_unset_commands_stay_apart() -> None:
    base = decode_config(raw())
    for value in (None, (), ("x",)):
        config = ImageConfig(base.architecture, base.os, base.rootfs, config=RuntimeConfig(entrypoint=value, cmd=value))
        again = decode_config(encode_config(config))
        assert (again.runtime.entrypoint, again.runtime.cmd) == (value, value)


def test_another_tool_reads_what_is_written(tmp_path: Path) -> None:
    """skopeo inspects an image whose configuration lamina encoded."""
    from tests.support.oci_layouts import make_layout

    image = make_layout(tmp_path / "layout", [{"a": b"1"}])
    config = decode_config(image.blobs[image.config])
    runtime = RuntimeConfig(env=("A=ä",), cmd=("x",), labels={"l": "v"}, exposed_ports={"80/tcp": {}})
    written = encode_config(ImageConfig("arm64", "linux", config.rootfs, variant="v8", config=runtime))
    manifest = json.loads(image.manifest)
    manifest["config"].update(digest=image_id(written), size=len(written))
    raw_manifest = json.dumps(manifest).encode()
    store = tmp_path / "layout" / "blobs" / "sha256"
    for data in (written, raw_manifest):
        (store / image_id(data).removeprefix("sha256:")).write_bytes(data)
    entry = {"mediaType": manifest["mediaType"], "digest": image_id(raw_manifest), "size": len(raw_manifest)}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]})
    (tmp_path / "layout" / "index.json").write_text(index)
    command = ["skopeo", "inspect", "--config", f"oci:{tmp_path / 'layout'}"]
    seen = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert seen["config"] == {"Env": ["A=ä"], "Cmd": ["x"], "Labels": {"l": "v"}, "ExposedPorts": {"80/tcp": {}}}
    assert (seen["architecture"], seen["variant"]) == ("arm64", "v8")


TEXT = st.text(max_size=6)
WORDS = st.lists(TEXT, max_size=3).map(tuple)


@given(
    st.builds(
        ImageConfig,
        architecture=TEXT,
        os=TEXT,
        rootfs=st.builds(RootFS, type=st.just("layers"), diff_ids=st.just((DiffID(HEX),))),
        created=st.none() | TEXT,
        config=st.none()
        | st.builds(
            RuntimeConfig,
            user=TEXT,
            env=WORDS,
            cmd=st.none() | WORDS,
            entrypoint=st.none() | WORDS,
            labels=st.dictionaries(TEXT, TEXT, max_size=2),
            volumes=st.dictionaries(TEXT, st.just({}), max_size=2),
            healthcheck=st.none() | st.builds(Healthcheck, test=WORDS, interval=st.integers(0, 2**60)),
        ),
        history=st.lists(st.builds(History, created_by=TEXT, empty_layer=st.booleans()), max_size=2).map(tuple),
    )
)
def test_reading_what_was_written(config: ImageConfig) -> None:
    assert decode_config(encode_config(config)) == config
    assert encode_config(decode_config(encode_config(config))) == encode_config(config)
