"""Whatever the moves, the files that are copied end up the same: a property of any mixture of instructions."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.histories import Tree, history_of
from tests.support.planning import plan

from lamina.advise.advice import Case, advise
from lamina.advise.cost import CostBook
from lamina.advise.landing import landing
from lamina.advise.sheet import sheet
from lamina.advise.timeline import timeline
from lamina.plan.steps import CopyOp, RunOp

FILES: Tree = {
    "package.json": "{}",
    "package-lock.json": "{}",
    "requirements.txt": "-r more.txt\n",
    "more.txt": "",
    "one/package.json": "{}",
    "one/package-lock.json": "{}",
    "one/x": "0",
    "two/x": "0",
    "two/y": "0",
}
LINES = (
    "COPY . .",
    "COPY . /app/",
    "COPY one two ./",
    "COPY one /app/one/",
    "COPY two /app",
    "COPY two/x two/y /data/",
    "COPY one/x /app/x",
    "COPY --chown=1:1 one ./in/",
    "COPY package.json requirements.txt more.txt ./",
    "COPY --exclude=x two /app/two",
    "ADD two /app/",
    "COPY --from=other /app/x /app/x",
    "RUN npm ci",
    "RUN cd one && npm ci",
    "RUN pip install -r requirements.txt",
    "RUN pip install pipenv && make",
    "RUN pip install x",
    "RUN apt-get install -y x && rm -rf /var/lib/apt/lists/*",
    "RUN apt-get update",
    "RUN apt-get install -y y",
    "RUN rm -rf /var/lib/apt/lists/*",
    "RUN rm -rf /app/one",
    "RUN mkdir -p /app/new",
    "RUN make",
    "WORKDIR /app",
    "WORKDIR /other",
    "WORKDIR one",
    "USER me",
    "ENV A=b",
    "ARG SHA",
    "LABEL a=$SHA",
    "VOLUME /app",
    "CMD x",
)
CHANGING = ("one/x", "two/y", "package.json", "more.txt")


def landed(text: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Where files are at the end, and what each understood install finds of its own when it runs."""
    shown = timeline(history_of([FILES, FILES]), None).head()
    records = [shown[path] for path in sorted(shown)]
    now: dict[str, str] = {}
    found: dict[str, dict[str, str]] = {}
    for step in plan(text).stages[-1].steps:
        if isinstance(step.op, CopyOp):
            now.update(landing(step.op, records) or {f"{step.op.dest}:{step.text}": ""})
        elif isinstance(step.op, RunOp):
            names = ("package.json", "package-lock.json", "requirements.txt", "more.txt")
            place = "/one" if "cd one" in step.text else ""
            read = {f"{step.op.cwd.rstrip('/')}{place}/{name}" for name in names}
            found[" ".join(step.text.split())] = {path: now[path] for path in sorted(read & set(now))}
    return now, found


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(LINES), min_size=2, max_size=10),
    st.lists(st.sampled_from(CHANGING), min_size=1, max_size=6),
)
def test_files_end_up_where_they_were(lines: list[str], changes: list[str]) -> None:
    text = "FROM base AS other\nFROM base\n" + "".join(f"{line}\n" for line in lines)
    past: list[Tree] = [FILES]
    for number, path in enumerate(changes):
        past.append({**past[-1], path: past[-1][path] + "\n" * (number + 1)})
    marks = {"SHA": "mark-SHA"}
    case = Case(
        sheet(text.encode(), "Dockerfile"),
        lambda one: plan(one.text, build_args=marks),
        CostBook({}, {}),
        history_of(past),
        None,
        past[-1].get,
        varying=marks,
    )
    advice = advise(case)
    assert advice.after.replay.seconds <= advice.before.replay.seconds
    new = advice.after.scene.sheet.text
    ends, reads = landed(text)
    new_ends, new_reads = landed(new)
    assert new_ends == ends
    for run, files in reads.items():
        if "npm" in run or "-r" in run.split():
            read = ("requirements.txt", "more.txt") if "pip" in run else ("package.json", "package-lock.json")
            assert {p: f for p, f in new_reads[run].items() if p.endswith(read)} == {
                p: f for p, f in files.items() if p.endswith(read)
            }, run
