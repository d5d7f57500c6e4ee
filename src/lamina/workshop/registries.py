"""The user's settings for registries: `config.toml`, Docker's credentials, proxies and certificates.

docs/registries.md has a section for each key of `RegistryTable`. To add one, add both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lamina.diagnostics import BuildFailure
from lamina.registry.credentials import DockerCredentials
from lamina.registry.proxies import Proxies
from lamina.registry.session import Session
from lamina.registry.settings import RegistrySettings
from lamina.registry.sightings import SightingFiles
from lamina.workshop.user_file import config_home, read_file, require_known, unusable, user_files


class RegistryTable(Struct, frozen=True):
    """What `[registry."HOST"]` may hold; the description is what may be written for it."""

    mirrors: Annotated[
        tuple[str, ...], Meta(description='a list such as ["mirror.example", "http://10.0.0.1:5000"]')
    ] = ()
    insecure: Annotated[bool | None, Meta(description="true or false")] = None
    ca: Annotated[str | None, Meta(description="the path of a PEM file")] = None


def make_session(environment: Mapping[str, str], version: str, seen: Path | None = None) -> Session:
    """What talks to registries. `seen` is the folder in which it is remembered where blobs are.

    Reads `config.toml`, `$DOCKER_CONFIG/config.json` (`~/.docker`) and the `auth.json` of Podman and Skopeo, the
    certificate bundle that the environment names, and its proxies. `LAMINA_INSECURE_REGISTRIES` is a comma-separated
    list of `host[:port]` spoken to in plain HTTP. Raises BuildFailure `usage-configuration`.
    """
    credentials = DockerCredentials(docker_config(environment), _auth_files(environment))
    sightings = SightingFiles(seen) if seen is not None else None
    return Session(read_settings(environment, version), credentials, sightings=sightings)


def read_settings(environment: Mapping[str, str], version: str) -> RegistrySettings:
    """See `make_session`. What the user's file says of a registry goes before what the machine's says."""
    tables: dict[str, RegistryTable] = {}
    for file in user_files(environment):
        tables.update(read_tables(file))
    listed = tuple(filter(None, environment.get("LAMINA_INSECURE_REGISTRIES", "").split(",")))
    bundle = next((environment[name] for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE") if environment.get(name)), None)
    authorities = {_host(name): table.ca for name, table in tables.items() if table.ca is not None}
    return RegistrySettings(
        mirrors={name: table.mirrors for name, table in tables.items() if table.mirrors},
        insecure=(*listed, *(_host(name) for name, table in tables.items() if table.insecure)),
        secure=tuple(_host(name) for name, table in tables.items() if table.insecure is False),
        ca_bundle=bundle,
        authorities=authorities,
        proxies=Proxies(
            http=_variable(environment, "http_proxy"),
            https=_variable(environment, "https_proxy"),
            direct=tuple(_variable(environment, "no_proxy").split(",")),
        ),
        version=version,
    )


def docker_config(environment: Mapping[str, str]) -> Path | None:
    """Where `lamina login` keeps credentials, None if there is no home."""
    if environment.get("DOCKER_CONFIG"):
        return Path(environment["DOCKER_CONFIG"]) / "config.json"
    home = environment.get("HOME")
    return Path(home) / ".docker" / "config.json" if home else None


def read_tables(file: Path) -> dict[str, RegistryTable]:
    """The `[registry."HOST"]` tables of a configuration, by host; none if there is no file. Raises BuildFailure
    `usage-configuration`."""
    return _tables_of(file, read_file(file))


def _tables_of(file: Path, whole: Mapping[str, Any]) -> dict[str, RegistryTable]:
    named = whole.get("registry", {})
    if not isinstance(named, dict):
        raise unusable(file, '`registry` is no table: write [registry."HOST"]')
    return {host: _table(file, host, table) for host, table in named.items()}


def _table(file: Path, host: str, table: Any) -> RegistryTable:
    where = f'[registry."{host}"]'
    if not isinstance(table, dict):
        raise unusable(file, f"{where} is no table")
    if not host or "/" in host:
        raise unusable(file, f"{where}: a registry is named by its host and port, such as registry.example:5000")
    fields = {field.name: field for field in msgspec.structs.fields(RegistryTable)}
    require_known(file, where, table, tuple(fields))
    found: dict[str, Any] = {}
    for key, value in table.items():
        try:
            found[key] = msgspec.convert(value, fields[key].type)
        except msgspec.ValidationError:
            message = f"{key} of {where} in {str(file)!r} cannot be {str(value)[:60]!r}"
            hint = f"write {fields[key].type.__metadata__[0].description}"
            raise BuildFailure("usage-configuration", message, hint=hint) from None
    if isinstance(found.get("ca"), str):
        # Relative to the file, as a path beside it; ~ is the user's home.
        found["ca"] = str(file.parent / Path(found["ca"]).expanduser())
        if not Path(found["ca"]).is_file():
            raise unusable(file, f"{where}: there is no file {found['ca']}")
        if found.get("insecure"):
            raise unusable(file, f"{where}: what is insecure has no use for ca")
    return RegistryTable(**found)


def _auth_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """containers-auth.json(5): where Podman, Buildah and Skopeo keep credentials, in their order."""
    if environment.get("REGISTRY_AUTH_FILE"):
        return (Path(environment["REGISTRY_AUTH_FILE"]),)
    runtime, folder = environment.get("XDG_RUNTIME_DIR"), config_home(environment)
    places = (Path(runtime) if runtime else None, folder)
    return tuple(place / "containers" / "auth.json" for place in places if place is not None)


def _host(name: str) -> str:
    """Docker Hub's registry lives under another name than its images."""
    return "registry-1.docker.io" if name == "docker.io" else name


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""
