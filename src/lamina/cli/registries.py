"""A registry client from the user's settings: Docker's credentials, mirrors and insecure registries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lamina.registry.client import RegistryClient
from lamina.registry.credentials import DockerCredentials
from lamina.registry.session import Session
from lamina.registry.settings import RegistrySettings


def make_client(environment: Mapping[str, str], version: str) -> RegistryClient:
    """Reads `$DOCKER_CONFIG/config.json` (`~/.docker`), and the certificate bundle that the environment names.

    `LAMINA_INSECURE_REGISTRIES` is a comma-separated list of `host[:port]` spoken to in plain HTTP.
    """
    home = environment.get("HOME")
    folder = Path(environment["DOCKER_CONFIG"]) if environment.get("DOCKER_CONFIG") else None
    config = folder or (Path(home) / ".docker" if home else None)
    bundle = next((environment[name] for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE") if environment.get(name)), None)
    insecure = tuple(filter(None, environment.get("LAMINA_INSECURE_REGISTRIES", "").split(",")))
    settings = RegistrySettings(insecure=insecure, ca_bundle=bundle, version=version)
    return RegistryClient(Session(settings, DockerCredentials(config / "config.json" if config else None)))
