"""The hints that a failed step's own output leads to."""

from __future__ import annotations

import pytest

from lamina.engine.hints import step_hint


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify …",
            "--ca-certs host",
        ),
        ("curl: (60) SSL certificate problem: self-signed certificate in certificate chain", "--ca-certs host"),
        ("npm error code SELF_SIGNED_CERT_IN_CHAIN", "--ca-certs host"),
        ("server certificate verification failed. CAfile: none CRLfile: none", "--ca-certs host"),
        ("chown: changing ownership of '/tmp': Invalid argument", "lamina doctor"),
        ("E: setegid 65534 failed - setegid (22: Invalid argument)", "lamina doctor"),
        ("E: setgroups 0 failed - setgroups (1: Operation not permitted)", "lamina doctor"),
        ("OSError: [Errno 28] No space left on device", "lamina cache prune"),
    ],
)
def test_the_surroundings_are_named(line: str, word: str) -> None:
    assert word in (step_hint(1, ["Collecting pipenv", line, "ERROR: no matching distribution"]) or "")


@pytest.mark.parametrize(
    "line", ["", "make: *** [all] Error 2", "tar: invalid argument 'x'", "test failed: certificate"]
)
def test_other_failures_are_the_programs_to_explain(line: str) -> None:
    assert step_hint(2, [line]) is None


def test_the_exit_status_goes_first() -> None:
    assert "PATH" in (step_hint(127, ["sh: 1: chown: not found"]) or "")
