"""What a step may see and do: Docker's defaults, from Docker's documentation and its observed containers."""

from __future__ import annotations

from pathlib import Path

from lamina.ports.running import RunSpec

#: The capabilities that Docker leaves to root in a container.
CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)

#: All capabilities by their numbers from 0 on (<linux/capability.h>).
_NUMBERED = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)


def own_capabilities() -> tuple[str, ...]:
    """What `--security=insecure` gives: all that this process has itself."""
    status = Path("/proc/self/status").read_text()
    mask = int(status.partition("CapPrm:")[2].split()[0], 16)
    return tuple(f"CAP_{name}" for number, name in enumerate(_NUMBERED.split()) if mask >> number & 1)


#: Hidden below a step's /proc and /sys: kernel memory, keys, timers, hardware.
MASKED_FILES = (
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
)
MASKED_DIRECTORIES = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)

#: Readable but not writable, whoever asks: a write to these reaches the whole machine.
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def shm_size(spec: RunSpec) -> int:
    """Bytes of /dev/shm: what the step asks for, else Docker's default."""
    return 64 << 20 if spec.shm_size is None else spec.shm_size


UMASK = 0o022
