"""Targets and parameters as tables, and as the JSON that BuildKit's subrequests have."""

from __future__ import annotations

import base64
import json

from tests.support.planning import options

from lamina.dockerfile import parse
from lamina.plan.parameters import parameters, targets
from lamina.report.parameters import parameters_json, parameters_lines, targets_json, targets_lines

TEXT = b"""\
# A is the first
ARG A=1
# base is below
FROM scratch AS base
RUN --mount=type=secret,id=s,required --mount=type=cache,target=/c --mount=type=ssh true
FROM scratch
FROM --platform=linux/amd64 base
ARG A
ARG B
"""
FILE = parse(TEXT, "Dockerfile")


def at(line: int) -> dict[str, object]:
    return {"ranges": [{"start": {"line": line}, "end": {"line": line}}]}


def test_tables() -> None:
    assert targets_lines(targets(FILE)) == [
        "TARGET      DESCRIPTION",
        "base        is below",
        "1",
        "(default)",
    ]
    assert parameters_lines(parameters(FILE, options())) == [
        "BUILD ARG   VALUE   DESCRIPTION",
        "A           1       is the first",
        "B",
        "",
        "SECRET   REQUIRED",
        "s        true",
        "",
        "SSH       REQUIRED",
        "default",
        "",
        "CACHE MOUNT",
        "/c",
    ]
    assert parameters_lines(parameters(FILE, options(target="base")))[:3] == [
        "TARGET:      base",
        "DESCRIPTION: is below",
        "",
    ]
    assert parameters_lines(parameters(parse(b"FROM scratch", "f"), options())) == ["This target takes nothing."]


def test_targets_as_json() -> None:
    assert json.loads(targets_json(targets(FILE), TEXT)) == {
        "targets": [
            {"name": "base", "description": "is below", "base": "scratch", "location": at(4)},
            {"base": "scratch", "location": at(6)},
            {"default": True, "base": "base", "platform": "linux/amd64", "location": at(7)},
        ],
        "sources": [base64.b64encode(TEXT).decode()],
    }


def test_parameters_as_json() -> None:
    assert json.loads(parameters_json(parameters(FILE, options()), TEXT)) == {
        "args": [
            {"name": "A", "description": "is the first", "value": "1", "location": at(2)},
            {"name": "B", "location": at(9)},
        ],
        "secrets": [{"name": "s", "required": True, "location": at(5)}],
        "ssh": [{"name": "default", "location": at(5)}],
        "cache": [{"ID": "/c", "location": at(5)}],
        "sources": [base64.b64encode(TEXT).decode()],
    }
