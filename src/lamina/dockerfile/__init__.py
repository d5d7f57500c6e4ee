"""Dockerfiles as text: parse, expand words, print, and the ignore files that stand beside them."""

from __future__ import annotations

from lamina.dockerfile.parser import parse, parse_trigger
from lamina.dockerfile.printer import to_text

__all__ = ["parse", "parse_trigger", "to_text"]
