"""What a Dockerfile is called when nobody says it."""

from __future__ import annotations

from pathlib import Path

#: The first that is there counts: BuildKit knows the first two, Podman and Buildah look for the last.
NAMES = ("Dockerfile", "dockerfile", "Containerfile")


def dockerfile_in(directory: Path) -> Path:
    """The Dockerfile of a directory; the usual name if there is none. A link counts, wherever it leads."""
    candidates = [directory / name for name in NAMES]
    return next((path for path in candidates if path.is_symlink() or path.exists()), candidates[0])
