"""When a slow part of a stage gets a stage of its own, how that is written, and when it is left where it is."""

from __future__ import annotations

import pytest
from tests.support.advising import advised
from tests.support.histories import Tree
from tests.support.layer_values import Layer, layers_of

from lamina.advise.advice import Advice
from lamina.advise.wants import Seen

FILES: Tree = {
    "requirements.txt": "django\n",
    "frontend/package.json": "{}",
    "frontend/package-lock.json": "{}",
    "frontend/index.js": "0",
    "app/main.py": "0",
}
PIP, NPM = "RUN pip install -r requirements.txt", "RUN cd frontend && npm ci && npm run build"
TEXT = f"""FROM base
WORKDIR /app
COPY requirements.txt ./
{PIP}
COPY frontend ./frontend/
{NPM}
COPY app ./app/
"""
SITE: Layer = {"usr/lib/site": -2, "usr/lib/site/django.py": 1}
MADE: Layer = {
    "app/frontend/dist": -2,
    "app/frontend/dist/index.js": 1,
    "app/frontend/node_modules": -2,
    "app/frontend/node_modules/x": 1,
    "root/.npm": -2,
    "root/.npm/log": 1,
}
STEPS: dict[str, Layer] = {
    "COPY requirements.txt ./": {"app/requirements.txt": 1},
    PIP: SITE,
    "COPY frontend ./frontend/": {"app/frontend": -2, "app/frontend/index.js": 1},
    NPM: MADE,
    "COPY app ./app/": {"app/app": -2, "app/app/main.py": 1},
}
CHANGING = ("requirements.txt", "frontend/index.js", "app/main.py")


def history(changing: tuple[str, ...] = CHANGING) -> list[Tree]:
    """Each file changes by itself."""
    past: list[Tree] = [FILES]
    for number in range(1, 5):
        for path in changing:
            past.append({**past[-1], path: past[-1][path] + "\n" * number})
    return past


def found(text: str = TEXT, steps: dict[str, Layer] = STEPS, seen: dict[tuple[str, str], Seen] | None = None) -> Advice:
    advice = advised(text, FILES, layers=layers_of(steps, {"root": -2, "usr/lib": -2}), past=history(), seen=seen)
    assert advice.after.replay.seconds <= advice.before.replay.seconds
    return advice


def test_two_installs_that_have_nothing_to_do_with_each_other() -> None:
    advice = found()
    assert advice.after.scene.sheet.text == (
        "FROM base AS npm\nWORKDIR /app\nCOPY frontend ./frontend/\n"
        f"{NPM}\n\n"
        "FROM base\nWORKDIR /app\nCOPY requirements.txt ./\n"
        f"{PIP}\n"
        "COPY frontend ./frontend/\n"
        "COPY --from=npm /app/frontend/dist /app/frontend/dist\n"
        "COPY --from=npm /app/frontend/node_modules /app/frontend/node_modules\n"
        "COPY --from=npm /root/.npm /root/.npm\n"
        "COPY app ./app/\n"
    )
    # The four commits that change the requirements do not build the front end any more.
    assert advice.saved == pytest.approx(4 * 105, abs=10)
    assert advice.after.replay.waited <= advice.after.replay.seconds
    (move,) = advice.after.moves
    assert "wrote /app/frontend/dist, /app/frontend/node_modules and /root/.npm" in move.why[0]
    assert "in a stage of its own, `npm`, beside `RUN pip install" in move.what


def test_what_stands_above_both_is_shared() -> None:
    system = "RUN apt-get update && apt-get install -y nodejs"
    text = TEXT.replace("WORKDIR /app\n", f"{system}\nWORKDIR /app\n")
    lines = found(text, {system: {"usr/bin/node": 1}, **STEPS}).after.scene.sheet.text.splitlines()
    assert lines[:2] == ["FROM base AS common", system]
    assert "FROM common AS npm" in lines and "FROM common" in lines and lines.count("WORKDIR /app") == 2


def test_the_slow_part_first() -> None:
    """What it makes is copied below the install that stands below it now (and the RUN cannot be split)."""
    text = "FROM base\nWORKDIR /app/frontend\nCOPY frontend .\nRUN npm ci; npm run build\nWORKDIR /app\n"
    text += f"COPY requirements.txt ./\n{PIP}\nCOPY app ./app/\n"
    steps: dict[str, Layer] = {
        "COPY frontend .": {"app/frontend/index.js": 1},
        "RUN npm ci; npm run build": MADE,
        "COPY requirements.txt ./": {"app/requirements.txt": 1},
        PIP: SITE,
        "COPY app ./app/": {"app/app": -2, "app/app/main.py": 1},
    }
    lines = found(text, steps).after.scene.sheet.text.splitlines()
    assert lines[:5] == [
        "FROM base AS npm",
        "WORKDIR /app/frontend",
        "COPY frontend .",
        "RUN npm ci; npm run build",
        "",
    ]
    rest = lines[5:]
    assert rest[0] == "FROM base" and rest.index(PIP) < rest.index("COPY frontend /app/frontend/")
    assert rest.index("COPY frontend /app/frontend/") < rest.index("COPY --from=npm /root/.npm /root/.npm")


def test_of_a_broad_copy_only_what_was_seen_is_copied_again() -> None:
    text = f"FROM base\nWORKDIR /app\nCOPY . .\n{NPM}\n{PIP}\n"
    steps: dict[str, Layer] = {
        "COPY . .": {"app/frontend": -2, "app/frontend/index.js": 1, "app/requirements.txt": 1},
        NPM: MADE,
        PIP: SITE,
    }
    seen = {(NPM, "COPY . ."): Seen(("frontend",), 3, 9)}
    advice = found(text, steps, seen)
    lines = advice.after.scene.sheet.text.splitlines()
    assert lines[:4] == ["FROM base AS npm", "WORKDIR /app", "COPY frontend ./frontend/", NPM]
    assert any("looked at 3 of the 9 files" in why for move in advice.after.moves for why in move.why)


@pytest.mark.parametrize(
    "made",
    [
        {**MADE, "etc/passwd": 5},
        {"app/frontend/dist*": -2, "app/frontend/dist/x*": 1},
        {**MADE, "app/frontend/index.js": 7},
        {**MADE, "root": -1},
        {f"app/frontend/{number}": 1 for number in range(9)},
        {},
    ],
)
def test_what_a_copy_would_not_bring_stays(made: Layer) -> None:
    steps = {**STEPS, NPM: made}
    advice = advised(TEXT, FILES, layers=layers_of(steps, {"root": -2, "usr/lib": -2, "etc/passwd": 4}), past=history())
    assert advice.after.scene.sheet.text == TEXT


def test_nothing_without_a_build() -> None:
    assert not advised(TEXT, FILES, past=history()).better


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (PIP, "RUN pip install django"),
        (PIP, "RUN make"),
        (NPM, "RUN cd frontend && npm ci && ./build.sh"),
        (NPM, "RUN --mount=type=cache,target=/root/.npm cd frontend && npm ci && npm run build"),
        (NPM, "RUN cd frontend && npm ci && npm install -g x && npm run build"),
        ("WORKDIR /app", "VOLUME /data\nWORKDIR /app"),
        ("WORKDIR /app", "USER me\nWORKDIR /app"),
    ],
)
def test_what_is_not_known_to_be_apart(old: str, new: str) -> None:
    text = TEXT.replace(old, new)
    steps = {step.replace(old, new): layer for step, layer in STEPS.items()}
    assert "AS npm" not in found(text, steps).after.scene.sheet.text


def test_a_name_that_is_taken() -> None:
    text = f"FROM base AS npm\nRUN x\n{TEXT.replace('FROM base', 'FROM base AS final')}COPY --from=npm /x /y\n"
    found_text = found(text).after.scene.sheet.text
    assert "FROM base AS npm2\n" in found_text and "FROM base AS final\n" in found_text


def test_stages_that_are_named_by_their_number() -> None:
    text = f"FROM base\nRUN x\n{TEXT}COPY --from=0 /x /y\n"
    assert not found(text).better
    assert found(
        text.replace("--from=0", "--from=stage").replace("FROM base\nRUN x", "FROM base AS stage\nRUN x")
    ).better
