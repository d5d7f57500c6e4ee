"""The machine's extra certificates for steps."""

from __future__ import annotations

from pathlib import Path

from lamina.runtime.certificates import TARGET, host_bundle, step_certificates


def test_the_first_variable_that_names_a_file_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "first.pem", tmp_path / "second.pem"
    second.write_text("x")
    environment = {"PIP_CERT": str(second), "SSL_CERT_FILE": str(first), "CURL_CA_BUNDLE": ""}
    assert host_bundle(environment) == second
    first.write_text("x")
    assert host_bundle(environment) == first


def test_directories_and_nothing_are_no_bundle(tmp_path: Path) -> None:
    assert host_bundle({"SSL_CERT_FILE": str(tmp_path)}) is None
    assert host_bundle({}) is None


def test_steps_see_it_read_only_under_the_usual_names(tmp_path: Path) -> None:
    real = tmp_path / "real.pem"
    real.write_text("x")
    link = tmp_path / "link.pem"
    link.symlink_to(real)
    mount, variables = step_certificates(link)
    assert (mount.kind, mount.target, mount.source, mount.read_only) == ("bind", TARGET, real, True)
    assert set(variables.values()) == {TARGET}
    assert {"SSL_CERT_FILE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"} <= set(variables)
