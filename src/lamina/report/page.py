"""A report as one HTML page that loads nothing: the template filled with values, its style and script inside.

Needs `lamina[report]`: import it late, and be ready for a ModuleNotFoundError of jinja2 or vl_convert.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import vl_convert  # noqa: F401  # here, so that its absence is noticed before anything is gathered
from markupsafe import Markup

from lamina import __version__
from lamina.report.context import visible

_FOLDER = Path(__file__).with_name("pages")


def rendered(template: str, values: Mapping[str, Any]) -> bytes:
    """The page of a template in `pages/`, with `values` as its variables."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ticked"] = _ticked
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    text = environment.get_template(template).render(
        **values,
        # Nothing may be loaded, and no script runs but this one, whatever a file is called.
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_hash(script)}'",
        script=Markup(script),
        style=Markup(style),
        version=__version__,
    )
    # Characters that steer a reader's screen, and bytes that are no text, are told by their numbers.
    return "\n".join(line if line.isprintable() else visible(line) for line in text.split("\n")).encode()


def svg(drawn: str) -> Markup:
    """A chart as part of a page: Vega has escaped its words."""
    return Markup(drawn)


def _ticked(text: str) -> Markup:
    """Text whose pieces between backticks are code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if place % 2 else Markup.escape(piece)
        for place, piece in enumerate(text.split("`"))
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
