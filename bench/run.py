"""`./dev bench`: lamina beside Docker's two builders and Buildah, interleaved in one run.

Each round builds a case with every tool, in an order that turns by one each round, so that a noisy moment or a warm
page cache favours nobody. Medians go to the terminal, all samples to a JSON file.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
from bench.dockerd import Dockerd, unmount_below
from bench.explained import CASE, Explained, explained
from bench.lesson import LESSON_BASE, lesson_rootfs, lessons
from bench.measure import CommandFailed, Sample
from bench.peers import Buildah, Docker, Lamina, Tool
from bench.sharing import CASES as SHARED
from bench.sharing import shared_hits
from bench.table import FIRST, Results, explained_lines, goals, medians, memory_table, seconds_table
from bench.travel import CASES as TRAVEL
from bench.travel import TRAVELLERS, travelled
from bench.workloads import Workload, workloads
from tests.support.base_images import busybox_rootfs

HERE = Path(__file__).resolve().parent.parent
TOOLS = ("lamina", "buildkit", "classic", "buildah")
QUICK = ("noop-100", "steps")


def main() -> int:
    """Parse the options, run, print. The exit status is 1 when a build failed or an image was not what it should be."""
    options = _options()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    results: Results = {}
    moved: Results = {}
    versions: dict[str, str] = {}
    told: Explained | None = None
    try:
        with ExitStack() as stack:
            tools = _start(options.tools, options.work, stack) if set(options.cases) - {*SHARED, *TRAVEL} else []
            versions |= {tool.name: tool.version() for tool in tools}
            if any(workload.name in options.cases for workload in lessons(options.work)):
                rootfs = lesson_rootfs(options.work)
                for tool in tools:
                    tool.load_base(rootfs, LESSON_BASE)
            for workload in [*workloads(options.work), *lessons(options.work)]:
                able = [tool for tool in tools if not workload.only or tool.name in workload.only]
                if workload.name in options.cases and able:
                    measure(workload, able, options.rounds, results)
            if CASE in options.cases and "lamina" in options.tools:
                told = explained(options.work)
        shared_hits(options.cases, options.tools, options.work, options.rounds, results)
        travelled(options.cases, options.tools, options.work, options.rounds, moved)
    except CommandFailed as error:
        print(f"\nbench: {error}", file=sys.stderr)
        return 1
    finally:
        unmount_below(options.work)
        shutil.rmtree(options.work, ignore_errors=True)
        if results or told or moved:
            _write(options.json, options.rounds, versions, results | moved, told)
    table = medians(results)
    if results:
        print(f"\n{seconds_table(table, options.tools)}\n\n{memory_table(results, options.tools)}")
    if moved:
        columns = [column for tool in options.tools for column in TRAVELLERS.get(tool, ())]
        print(f"\n{seconds_table(medians(moved), columns)}\n\n{memory_table(moved, columns)}")
    results |= moved
    print()
    print("\n".join([*goals(medians(results), results), *(explained_lines(told) if told else ())]))
    print(f"all samples: {options.json}")
    return 0


def measure(workload: Workload, tools: list[Tool], rounds: int, results: Results) -> None:
    """All rounds of one case. Raises CommandFailed when a build fails or its image is not what it should be."""
    print(f"{workload.title}:", flush=True)
    workload.prepare()
    images: dict[str, str] = {}
    if workload.warm:
        for tool in tools:
            _keep(results, f"{FIRST}{workload.name}", tool, tool.build(workload.context))
            images[tool.name] = tool.identity()
    if workload.rests:
        time.sleep(workload.rests)
        for tool in tools:
            tool.build(workload.context)
    for number in range(rounds):
        workload.begin_round(number)
        turn = number % len(tools)
        for tool in tools[turn:] + tools[:turn]:
            for name in workload.builds(tool.name, number):
                _keep(results, name, tool, tool.build(workload.context))
            beside = list(tool.beside(workload.name, workload.context).items())
            start = number % len(beside) if beside else 0
            for name, command in beside[start:] + beside[:start]:
                _keep(results, name, tool, tool.run(command))
            image = tool.identity()
            if tool.name in images and (image == images[tool.name]) != workload.same_image:
                raise CommandFailed(f"{tool.name}: after {workload.title} the image is not what it should be")
            images[tool.name] = image
    shutil.rmtree(workload.context)


def _keep(results: Results, name: str, tool: Tool, sample: Sample) -> None:
    results.setdefault(name, {}).setdefault(tool.name, []).append(sample)
    memo = ", from the memo" if sample.memo else ""
    print(f"  {tool.name:<9} {name} {sample.seconds:8.3f} s {sample.peak_mib:6.0f} MiB{memo}", flush=True)


def _start(names: list[str], work: Path, stack: ExitStack) -> list[Tool]:
    """The tools of these names, each with the base image in its store; the daemon stops with `stack`."""
    rootfs = busybox_rootfs(work)
    tools: list[Tool] = []
    if "lamina" in names:
        tools.append(Lamina(work))
    if "buildkit" in names or "classic" in names:
        daemon = stack.enter_context(Dockerd(work))
        tools += [Docker(work, daemon, name == "buildkit") for name in ("buildkit", "classic") if name in names]
    if "buildah" in names:
        tools.append(Buildah(work))
    for tool in tools:
        tool.load_base(rootfs)
    return tools


def _write(target: Path, rounds: int, versions: dict[str, str], results: Results, told: Explained | None) -> None:
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    document = {"machine": machine, "versions": versions, "rounds": rounds, "samples": results, "explained": told}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(msgspec.json.format(msgspec.json.encode(document)))


def _options() -> argparse.Namespace:
    cases = [*(workload.name for workload in [*workloads(Path()), *lessons(Path())]), CASE, *SHARED, *TRAVEL]
    parser = argparse.ArgumentParser(prog="./dev bench", description="compare lamina with Docker and Buildah")
    parser.add_argument("--cases", default=cases, type=lambda text: text.split(","), help=",".join(cases))
    parser.add_argument("--tools", default=list(TOOLS), type=lambda text: text.split(","), help=",".join(TOOLS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help=f"only {' and '.join(QUICK)}, 2 rounds")
    parser.add_argument("--json", type=Path, default=HERE / ".dev" / "bench.json")
    parser.add_argument("--work", type=Path, default=HERE / ".dev" / "bench", help="stores and contexts; deleted after")
    options = parser.parse_args()
    unknown = (set(options.cases) - set(cases)) | (set(options.tools) - set(TOOLS))
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if options.quick:
        options.cases, options.rounds = list(QUICK), 2
    options.tools = [name for name in TOOLS if name in options.tools]
    options.work = options.work.resolve()
    return options


if __name__ == "__main__":
    sys.exit(main())
