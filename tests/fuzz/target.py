"""What a fuzzed input is put through, and what must hold: `examine(data)` raises if it does not.

The first byte chooses the part: the Dockerfile parser with printer and planner, or the ignore matcher.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile import parse, to_text
from lamina.dockerfile.ignore import parse_ignore
from lamina.dockerfile.syntax import Dockerfile
from lamina.oci.config import ImageConfig, RootFS, RuntimeConfig
from lamina.oci.platform import Platform
from lamina.plan.planner import make_plan
from lamina.plan.steps import ImageRef, Missing, PlanOptions

#: No input may take longer, in seconds.
LIMIT = 2.0
HERE = Platform("linux", "amd64")
TRIGGERS = ("RUN echo $x", "COPY --from=0 a /b")
IMAGES = tuple(
    ImageConfig("amd64", "linux", RootFS("layers", ()), config=RuntimeConfig(env=("PATH=/bin", "x=y"), on_build=each))
    for each in (None, TRIGGERS)
)
PATHS = ("a", "a/b", "a/b/c.txt", ".git/config", "src/main.py", "x" * 200, "a b/ü")


def examine(data: bytes) -> None:
    """Put one input through."""
    with limit(LIMIT):
        if data[:1] == b"!":
            examine_ignore(data[1:])
        else:
            examine_dockerfile(data)


def examine_dockerfile(data: bytes) -> None:
    try:
        dockerfile = parse(data, "Dockerfile")
    except BuildFailure as failure:
        check_failure(failure, data)
        return
    printed = to_text(dockerfile).encode()
    again = parse(printed, "Dockerfile")
    assert placeless(again.instructions) == placeless(dockerfile.instructions), f"printed as {printed!r}"
    try:
        plan(dockerfile)
    except BuildFailure as failure:
        check_failure(failure, data)


def plan(dockerfile: Dockerfile) -> None:
    """Plan the file; every second image that it asks for has triggers."""
    options = PlanOptions(platform=HERE, build_platform=HERE, build_args={"A": "1", "HTTP_PROXY": "p"})
    images: dict[ImageRef, ImageConfig] = {}
    while True:
        made = make_plan(dockerfile, options, images)
        if not isinstance(made, Missing):
            return
        before = len(images)
        images |= {image: IMAGES[(before + at) % 2] for at, (image, _) in enumerate(made.images)}
        assert len(images) > before, "the planner asks for what it has"


def examine_ignore(data: bytes) -> None:
    try:
        rules = parse_ignore(data, "ignore")
    except BuildFailure as failure:
        check_failure(failure, data)
        return
    for path in PATHS:
        rule = rules.deciding_rule(path)
        assert rules.excluded(path) is (rule is not None and not rule.negated)
        folders = ["/".join(path.split("/")[:at]) for at in range(1, path.count("/") + 1)]
        if not rules.excluded(path):
            assert all(rules.may_hold_included(folder) for folder in folders), path


def check_failure(failure: BuildFailure, data: bytes) -> None:
    """A failure has a reference, a message without line breaks, and a place that is inside the text."""
    found = failure.diagnostic
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", found.reference), found
    assert found.message
    if found.span is not None:
        check_span(found.span, data)


def check_span(span: Span, data: bytes) -> None:
    text = data.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    lines = [line.rstrip("\r\n") for line in text.split("\n")]
    assert (1, 1) <= (span.line, span.column) <= (span.end_line, span.end_column), span
    assert span.end_line <= len(lines), span
    assert span.column <= len(lines[span.line - 1]) + 1, span
    assert span.end_column <= len(lines[span.end_line - 1]) + 1, span


def placeless(value: object) -> str:
    return re.sub(r"span=Span\(.*?\)", "", repr(value))


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block when it takes longer."""

    def late(*_: object) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
