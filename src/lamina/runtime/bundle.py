"""A step as an OCI runtime configuration (runtime-spec, config.md): the same isolation as under bubblewrap."""

from __future__ import annotations

import stat
from typing import Any

from lamina.ports.running import RunSpec
from lamina.runtime import devices, isolation, limits, seccomp
from lamina.runtime.namespace import Rung
from lamina.runtime.rootfs import Bind, Root

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
        linux["devices"] = [_device(name, node) for name, node in devices.nodes(spec.insecure).items()]
    if not spec.insecure:
        linux["seccomp"] = seccomp.oci_section()
        linux["maskedPaths"] = [*isolation.MASKED_FILES, *isolation.MASKED_DIRECTORIES]
        linux["readonlyPaths"] = list(isolation.READ_ONLY)
    return {
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": {"path": str(root.path), "readonly": False},
        "process": _process(spec, root),
        "mounts": [*_system_mounts(spec, root.system, rung), *map(_bind, root.mounts)],
        "linux": linux,
    }


def _process(spec: RunSpec, root: Root) -> Json:
    held = list(isolation.own_capabilities() if spec.insecure else isolation.CAPABILITIES)
    own = held if spec.user.uid == 0 or spec.insecure else []
    # BuildKit's insecure steps keep everything even if they run as another user.
    lasting = held if spec.insecure else []
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
        "capabilities": {
            "bounding": held,
            "effective": own,
            "permitted": own,
            "inheritable": lasting,
            "ambient": lasting,
        },
        "rlimits": limits.oci_section(spec.limits),
        "noNewPrivileges": False,
    }


def _system_mounts(spec: RunSpec, system: dict[str, str], rung: Rung) -> list[Json]:
    dev = system["/dev"]
    safe = ["nosuid", "noexec", "nodev"]
    mounts = [
        _entry(system["/proc"], "proc", "proc", safe),
        _entry(dev, "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _entry(f"{dev}/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        _entry(f"{dev}/shm", "tmpfs", "shm", [*safe, "mode=1777", f"size={isolation.shm_size(spec)}"]),
        _entry(f"{dev}/mqueue", "mqueue", "mqueue", safe),
    ]
    access = "rw" if spec.insecure else "ro"
    if rung.name == "root":
        mounts.append(_entry(system["/sys"], "sysfs", "sysfs", [*safe, access]))
        if spec.insecure:
            mounts.append(_entry(f"{system['/sys']}/fs/cgroup", "cgroup", "cgroup", [*safe, access]))
    else:
        # Only the owner of the network namespace may mount a fresh one (user_namespaces(7)).
        mounts.append(_entry(system["/sys"], "none", "/sys", ["rbind", *safe, access]))
    return mounts


def _device(name: str, node: devices.Node) -> Json:
    kind = "b" if stat.S_ISBLK(node.kind) else "c"
    return {"path": f"/dev/{name}", "type": kind, "major": node.major, "minor": node.minor, "fileMode": 0o666}


def _bind(bind: Bind) -> Json:
    access = "ro" if bind.read_only else "rw"
    return _entry(bind.target, "bind", str(bind.source), ["rbind", "nosuid", "nodev", access])


def _entry(target: str, kind: str, source: str, options: list[str]) -> Json:
    return {"destination": target, "type": kind, "source": source, "options": options}
