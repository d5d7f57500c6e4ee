"""The image of a finished stage: its configuration, with history and diff IDs. No clock: times come from records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from lamina.keys.outcome import StepResult
from lamina.oci.config import ImageConfig, RootFS
from lamina.plan.steps import Stage


def assemble(stage: Stage, base: ImageConfig | None, steps: Sequence[StepResult], epoch: int | None) -> ImageConfig:
    """The configuration of the image that a stage makes on its base's (None for scratch).

    `created` of a layer is its record's time and of a metadata entry the time before it, so a build that finds
    everything cached gives the same image ID again. With `epoch` (SOURCE_DATE_EPOCH, seconds) that is the time of all
    that this stage adds.
    """
    history = list(base.history) if base else []
    diff_ids = list(base.rootfs.diff_ids) if base else []
    created = base.created if base else None
    fixed = timestamp(epoch) if epoch is not None else None
    for result in steps:
        if result.record is not None:
            created = timestamp(result.record.created)
            if result.record.diff_id is not None:
                diff_ids.append(result.record.diff_id)
        if result.step.history is not None:
            history.append(replace(result.step.history, created=fixed or created))
    return ImageConfig(
        architecture=stage.platform.architecture,
        os=stage.platform.os,
        variant=stage.platform.variant,
        rootfs=RootFS("layers", tuple(diff_ids)),
        created=fixed or created,
        author=stage.author,
        config=stage.config,
        history=tuple(history),
    )


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, as image configurations have it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
