"""A Vega-Lite drawing as SVG text for the page (docs/adr/0017-report-page.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_CONFIG: dict[str, Any] = {
    "background": None,
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "aria": False,
        "labelFontSize": 11,
        "labelColor": "var(--soft)",
        "gridColor": "var(--line)",
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "title": None,
    },
    "text": {"fontSize": 11, "color": "var(--ink)", "aria": False},
}
_ROLE = re.compile(r' (?:role|aria-roledescription)="[^"]*"')


def drawn_svg(
    values: Sequence[Any],
    layers: Sequence[Any],
    width: float,
    height: Any,
    gutter: int,
    more: Mapping[str, Any] | None = None,
) -> str:
    """Layers of marks over `values`, in a picture of `width` × `height` (pixels, or what Vega-Lite takes for it) beside
    `gutter` pixels for labels; `more` are other members of the specification."""
    import vl_convert

    spec = {
        "data": {"values": values},
        "layer": layers,
        "width": int(width),
        "height": height,
        # Letters of the reader's font may be wider than those that Vega measured.
        "padding": {"left": 0, "right": 14, "top": 4, "bottom": 2},
        "config": {**_CONFIG, "axisY": {"labelPadding": gutter - 4}},
        **(more or {}),
    }
    drawn: str = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    # The charts are pictures with a table beside them; the words of a mark are for those who point at it.
    return _ROLE.sub("", drawn).replace(' aria-label="', ' data-tip="')
