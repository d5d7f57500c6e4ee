"""A step as an OCI runtime configuration (runtime-spec, config.md): the same isolation as under bubblewrap."""

from __future__ import annotations

from typing import Any

from lamina.ports import Mount, RunSpec
from lamina.runtime import isolation, seccomp
from lamina.runtime.namespace import Rung
from lamina.runtime.rootfs import Root

Json = dict[str, Any]


def configuration(spec: RunSpec, root: Root, rung: Rung, container: str) -> Json:
    """The whole config.json; `container` names its control group."""
    linux: Json = {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]}
    if spec.network == "none":
        linux["namespaces"].append({"type": "network"})
    if rung.name == "root":
        linux["cgroupsPath"] = f"/{container}"
        # Steps may make device files; only the harmless ones, which runtimes add to this rule, can be opened.
        linux["resources"] = {"devices": [{"allow": spec.insecure, "access": "rwm"}]}
    if not spec.insecure:
        linux["seccomp"] = seccomp.oci_section()
        linux["maskedPaths"] = [*isolation.MASKED_FILES, *isolation.MASKED_DIRECTORIES]
        linux["readonlyPaths"] = list(isolation.READ_ONLY)
    return {
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": {"path": str(root.path), "readonly": False},
        "process": _process(spec, root),
        "mounts": [*_system_mounts(spec, root.system, rung), *(_mount(mount) for mount in root.mounts)],
        "linux": linux,
    }


def _process(spec: RunSpec, root: Root) -> Json:
    held = list(isolation.own_capabilities() if spec.insecure else isolation.CAPABILITIES)
    own = held if spec.user.uid == 0 else []
    return {
        "terminal": spec.interactive,
        "user": {
            "uid": spec.user.uid,
            "gid": spec.user.gid,
            "additionalGids": list(spec.user.groups),
            "umask": isolation.UMASK,
        },
        "args": list(spec.argv),
        "env": [f"{name}={value}" for name, value in spec.env.items()],
        "cwd": root.cwd,
        "capabilities": {"bounding": held, "effective": own, "permitted": own},
        "noNewPrivileges": False,
    }


def _system_mounts(spec: RunSpec, system: dict[str, str], rung: Rung) -> list[Json]:
    dev = system["/dev"]
    safe = ["nosuid", "noexec", "nodev"]
    mounts = [
        _entry(system["/proc"], "proc", "proc", safe),
        _entry(dev, "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _entry(f"{dev}/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        _entry(f"{dev}/shm", "tmpfs", "shm", [*safe, "mode=1777", f"size={isolation.SHM_SIZE}"]),
        _entry(f"{dev}/mqueue", "mqueue", "mqueue", safe),
    ]
    access = "rw" if spec.insecure else "ro"
    if rung.name == "root":
        mounts.append(_entry(system["/sys"], "sysfs", "sysfs", [*safe, access]))
    else:
        # Only the owner of the network namespace may mount a fresh one (user_namespaces(7)).
        mounts.append(_entry(system["/sys"], "none", "/sys", ["rbind", *safe, access]))
    return mounts


def _mount(mount: Mount) -> Json:
    access = "ro" if mount.read_only else "rw"
    if mount.kind == "bind":
        return _entry(mount.target, "bind", str(mount.source), ["rbind", "nosuid", "nodev", access])
    options = ["nosuid", "nodev", f"mode={0o1777 if mount.mode is None else mount.mode:o}"]
    if mount.size:
        options.append(f"size={mount.size}")
    return _entry(mount.target, "tmpfs", "tmpfs", options)


def _entry(target: str, kind: str, source: str, options: list[str]) -> Json:
    return {"destination": target, "type": kind, "source": source, "options": options}
