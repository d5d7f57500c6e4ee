"""A project of the ordinary user, whose steps say who runs them."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import project
from tests.support.runner_bench import give, ordinary_user

TEXT = """FROM busybox
RUN echo 'ann:x:1000:1001::/home/ann:/bin/sh' >> /etc/passwd && mkdir /home && chown 1000:1001 /home
COPY --chown=ann data /home/data
USER ann
WORKDIR /home
RUN id -u > who && cat data >> who && stat -c %u:%g data >> who
CMD cat who; id -u; touch mine && echo wrote
"""


def context_of(place: Path) -> Path:
    context = project(place / "context", TEXT, {"data": "data\n"})
    user = ordinary_user()
    give(context, (user.pw_uid, user.pw_gid))
    return context
