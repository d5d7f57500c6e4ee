"""The machine's extra certificates for RUN: behind a company's proxy nothing can be downloaded without them.

They are a mount and variables of single steps, never part of a layer, an image or a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lamina.ports.running import Mount

#: Where a step sees the bundle.
TARGET = "/run/lamina/ca-certificates.crt"

#: Variables that name a file of trusted certificates, by the programs that read them; the order is that of trust.
VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
    "NIX_SSL_CERT_FILE",
)


def host_bundle(environment: Mapping[str, str]) -> Path | None:
    """The first file that one of `VARIABLES` names in the caller's environment and that exists."""
    for name in VARIABLES:
        value = environment.get(name)
        if value and Path(value).is_file():
            return Path(value)
    return None


def step_certificates(bundle: Path) -> tuple[Mount, dict[str, str]]:
    """The read-only mount of `bundle` and the variables that point to it."""
    return Mount("bind", TARGET, bundle.resolve()), dict.fromkeys(VARIABLES, TARGET)
