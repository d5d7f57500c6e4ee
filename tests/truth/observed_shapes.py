"""Projects whose steps look at copied files in every way that a shell has, and show in the image what they saw.

What a step writes below /times holds modification times: it is no function of the files, so two stores differ in it.
It is compared with what the same step gives on the same layers. Such steps begin with `: times`.
"""

from __future__ import annotations

from tests.truth.shapes import archive, show
from tests.truth.state import State, tree

_FILES: dict[str, str | bytes] = {
    "requirements.txt": "flask==2\nredis==5\n# tools\npytest==8\n",
    "setup.cfg": "[shop]\nname = shop\n",
    "src/app.py": "import flask\nimport redis\n\nprint(flask)\n",
    "src/util.py": "def f():\n    return 1\n",
    "src/sub/deep.py": "deep = 1\n",
    "src/sub/more/x.py": "x = 1\n",
    "docs/index.md": "# Shop\n\nText.\n",
    "docs/a.txt": "a\n",
    "docs/pics/p.bin": b"\0\1\2\3",
    "hooks/10-a": "echo a > /made-by-a\n. /app/hooks/20-b\n",
    "hooks/20-b": "echo b >> /made-by-b\n",
    "data/one": "1\n",
    "data/two": "2\n",
    "data/list": "one\ntwo\nthree\n",
}
_LINKS = {"current": "setup.cfg", "src/alias": "app.py", "data/up": "../docs", "broken": "nowhere"}


def _state(*lines: str, allowed: tuple[str, ...] = (), hidden: tuple[str, ...] = ()) -> State:
    return State(lines, tree(_FILES, links=_LINKS, folders=("empty",)), allowed=allowed, hidden=hidden)


def bad_order() -> State:
    """The lesson's bad order, with steps that look at little of what they stand on."""
    return _state(
        "FROM base",
        "WORKDIR /app",
        "COPY . .",
        "RUN echo tool > /tool",
        "RUN grep -v '^#' requirements.txt | sort > /installed",
        "RUN [ -e setup.py ] && echo yes > /setup || echo no > /setup; cat current > /name",
        "RUN cat src/*.py 2>&1 > /built || :",
        'CMD ["cat", "/built"]',
    )


def listing() -> State:
    """Names: of directories, of patterns, and of what is not there."""
    return _state(
        "FROM base",
        "COPY . /app",
        "RUN ls -A /app > /names",
        "RUN cd /app && echo src/*/*.py docs/*.t* > /glob",
        "RUN find /app/docs | sort > /found",
        "RUN find /app/src -type f -name '*.py' | sort | xargs wc -l > /lines || :",
        "RUN for p in new aaa zzz src/new.py data/n; do [ -e /app/$p ] && echo $p; done > /probes; :",
        "RUN ls -d /app/*/ > /folders; [ -d /app/data/up ] && ls /app/data/up/ > /up; :",
    )


def times() -> State:
    """Steps that compare and write times."""
    return _state(
        "FROM base",
        "RUN mkdir /times",
        "COPY . /app",
        "RUN : times; stat -c '%n %s %Y %y' /app/requirements.txt /app/setup.cfg > /times/two",
        "RUN : times; find /app/src /app/docs -newer /app/setup.cfg | sort > /times/newer",
        "RUN : times; cd /app; for p in src/app.py docs/*; do [ $p -nt src/util.py ] && echo $p; done > /times/nt; :",
        "RUN : times; cp -a /app/docs /times/docs; cd /times; tar c docs | md5sum > /times/tar; rm -rf docs",
        "RUN : times; touch -r /app/src/app.py /stamp; stat -c %Y /stamp > /times/stamp",
        "RUN : times; find /app -exec stat -c '%n %Y' {} + | sort > /times/all",
    )


def compiling() -> State:
    """Sources to objects, step by step."""
    return _state(
        "FROM base",
        "COPY src /src",
        "RUN mkdir /obj; for f in /src/*.py; do [ -f $f ] && md5sum < $f > /obj/$(basename $f).o; done; :",
        "RUN cat /obj/* | sort > /linked",
        "COPY data /data",
        "RUN sort -r /data/list /data/one > /sorted || :",
        "RUN cat /linked /sorted | wc -c > /size",
        "RUN sed -i s/1/one/ /src/util.py && cmp -s /src/util.py /src/app.py; echo $? > /compared",
        "RUN tar c -C /src app.py util.py | tar t > /listed",
    )


def linked() -> State:
    """Links that were copied, links that lead into copies, and hard links."""
    return _state(
        "FROM base",
        "RUN ln -s /app /link && ln -s ../app/data/up /etc/way",
        "COPY . /app",
        "RUN readlink /app/current > /target || echo none > /target; cat /app/current > /current || :",
        "RUN cat /link/src/alias > /alias || :; ls /etc/way/ > /way || :",
        "RUN ln /app/data/one /app/data/hard && ln -s one /app/data/soft || :",
        "RUN cat /app/data/hard /app/data/soft > /both; echo more >> /app/data/hard || :",
        "RUN rm -f /app/current && ln -s requirements.txt /app/current; wc -l < /app/current > /count",
        "RUN [ -L /app/broken ] && readlink -f /app/broken > /broken; cp -P /app/broken /kept; :",
    )


def deleting() -> State:
    """Steps that change, remove, rename and replace what was copied."""
    return _state(
        "FROM base",
        "COPY . /app",
        "RUN rm -f /app/data/one /app/missing",
        "RUN rm -rf /app/docs/pics",
        "RUN mv /app/requirements.txt /app/r.txt; mv /app/hooks /hooks || :",
        "RUN chmod 700 /app/src/app.py; chown 7:8 /app/src",
        "RUN echo appended >> /app/setup.cfg",
        "RUN rm -rf /app/src/sub; mkdir /app/src/sub && echo new > /app/src/sub/new",
        "RUN rm -rf /app/data && echo file > /app/data",
        "RUN rm -rf /app/empty; mkdir -p /app/empty/full; : > /app/docs/a.txt",
        f"RUN {show('/app/src /app/data', '/seen')}",
    )


def layers() -> State:
    """Copies over copies, over what steps made, and below it."""
    return _state(
        "FROM base",
        "RUN mkdir -p /app/src/sub /app/docs && echo old > /app/src/app.py && echo mine > /app/docs/mine",
        "COPY src /app/src",
        "RUN ls /app/src > /one; echo made > /app/src/made.txt",
        "COPY docs /app/docs/",
        "COPY data setup.cfg /app/docs/",
        "RUN rm -rf /app/docs/pics; cat /app/docs/mine /app/docs/one > /two || :",
        "COPY docs/pics /app/docs/pics/",
        "RUN ls /app/docs/pics > /three; cat /app/src/made.txt >> /three",
        "COPY src/app.py src/util.py /app/src/sub/",
        "RUN cat /app/src/sub/*.py > /four",
        f"RUN {show('/app/docs', '/seen')}",
    )


def staged() -> State:
    """Stages that are copied from and built upon."""
    return _state(
        "FROM base AS deps",
        "COPY . /app",
        "RUN mkdir /lib; grep -v '^#' /app/requirements.txt > /lib/installed; cp -r /app/data /lib/data || :",
        "FROM deps AS tested",
        "RUN cat /app/src/util.py > /tested",
        "COPY hooks /app/hooks",
        "RUN ls /app/hooks > /hooks-seen",
        "FROM base",
        "COPY --from=deps /lib /usr/lib",
        "RUN sort /usr/lib/installed > /sorted",
        "COPY --from=tested /tested /hooks-seen /from/",
        "RUN cat /from/tested > /again; ls /usr/lib/data > /data-seen || :",
        "COPY --from=deps --chown=3:4 /app/docs /docs",
        "RUN stat -c '%a %u %g %s' /docs/index.md > /stat",
    )


def flagged() -> State:
    """The flags of COPY, below steps that see what they do."""
    return _state(
        "FROM base",
        "COPY --chown=5:6 docs /docs",
        "RUN stat -c '%n %a %u %g %F' /docs/* | sort > /owners",
        "COPY --chmod=750 hooks /hooks",
        "RUN [ -x /hooks/10-a ] && echo x > /x; :",
        "COPY --parents src/*.py data/l* /p/",
        "RUN cat /p/src/app.py > /app; ls -R /p > /parents",
        "COPY --link data /linked/",
        "RUN cat /linked/list > /list; ls /linked > /names",
        "COPY --exclude=**/*.md --exclude=hooks . /rest",
        "RUN ls /rest/docs > /docs-left; cat /rest/setup.cfg > /cfg",
        "COPY --chmod=u+x,g-r src/app.py /run/",
        "RUN stat -c %a /run/app.py > /mode",
    )


def ignored() -> State:
    """An ignore file that lets in some names, and hides some of what is in them."""
    return _state(
        "FROM base",
        "WORKDIR /w",
        "COPY . ./all/",
        "RUN ls all > names",
        "RUN cat all/src/app.py > app",
        "RUN [ -e all/src/util.py ] || echo hidden > hidden; find all -type d | sort > folders",
        "RUN grep -r flask all > found || :",
        allowed=("src", "setup.cfg", "docs"),
        hidden=("docs/pics", "src/sub/more"),
    )


def folders() -> State:
    """WORKDIR between copies: made in what was copied, relative, and as another user."""
    return _state(
        "FROM base",
        "COPY . /app",
        "WORKDIR /app/src/sub",
        "RUN cat ../app.py > /one; pwd > /where",
        "WORKDIR ../made/deep",
        "RUN echo x > file; ls .. > /two",
        "COPY data .",
        "RUN cat list file > /three; cd ..; ls > /four",
        "USER nobody",
        "WORKDIR /app/nobody",
        "RUN id -u > /tmp/id; cat ../setup.cfg > /tmp/cfg; [ -w . ] && echo w > /tmp/w; :",
    )


def scripts() -> State:
    """Files that are executed, sourced and found along a path."""
    return _state(
        "FROM base",
        "COPY . /app",
        "RUN sh /app/hooks/10-a || :",
        "RUN for h in /app/hooks/*; do [ -x $h ] && $h; done; ls / | grep made > /names; :",
        "ENV PATH=/app/bin:/app/hooks:/bin",
        "RUN command -v 10-a > /which || echo none > /which; which tool 20-b >> /which; :",
        "RUN cd /app/hooks && . ./20-b; cat /made-by-b > /b",
    )


def searching() -> State:
    """Programs that walk whole trees."""
    return _state(
        "FROM base",
        "COPY . /app",
        "RUN grep -r import /app/src | sort > /imports || :",
        "RUN find /app/data -size -1 -o -perm -100 | sort > /small",
        "RUN cd /app/docs && find . -type f | sort | xargs md5sum > /sums; md5sum -c /sums > /checked",
        "RUN wc -c /app/data/* > /sizes || :; cat /app/data/up/a.txt > /through || :",
        "RUN diff -r /app/src/sub /app/docs > /diff; :",
        f"RUN {show('/app', '/seen')}",
    )


def mounting() -> State:
    """Mounts in copied directories."""
    return _state(
        "FROM base",
        "COPY . /app",
        "RUN --mount=type=cache,target=/app/data/cache ls -A /app/data > /names",
        "RUN --mount=type=tmpfs,target=/app/new/tmp echo x > /app/new/tmp/x; ls /app/new > /tmp-names",
        "RUN --mount=type=bind,source=docs,target=/app/src/docs cat /app/src/docs/a.txt /app/src/util.py > /both || :",
        "RUN --mount=type=secret,id=token,target=/app/empty/token test -s /app/empty/token && ls -A /app/empty > /e",
        "RUN --mount=target=/ctx cat /ctx/setup.cfg > /cfg; echo made > /app/data/made || :",
        "RUN ls -A /app/data /app/empty > /after || :; stat -c '%n %a' /app/* | sort > /stat",
    )


def archived() -> State:
    """An archive that is unpacked into what is looked at."""
    state = _state(
        "FROM base",
        "ADD data.tar /data",
        "RUN cat /data/inside/text > /text",
        "RUN ls /data > /names; stat -c '%a %u %g' /data/inside/text > /stat",
        "COPY . /app",
        "RUN cat /data/inside/text /app/setup.cfg > /both",
        "ADD src/app.py /data/",
        "RUN cat /data/app.py > /app.py; ls /data/inside > /inside",
    )
    return state.with_tree(tree({"data.tar": archive("one\n")}))


def users() -> State:
    """What an ordinary user may see and change."""
    return _state(
        "FROM base",
        "COPY --chown=nobody . /app",
        "USER nobody",
        "RUN cat /app/setup.cfg > /tmp/one 2>&1 || echo refused > /tmp/one",
        "RUN echo x > /app/docs/written; rm -f /app/data/two; :",
        "USER root",
        "COPY src /src",
        "USER nobody",
        "RUN cat /src/util.py > /tmp/two 2> /dev/null || echo no > /tmp/two; [ -r /src/app.py ] && echo r > /tmp/r; :",
        "RUN cd /app && mv setup.cfg moved.cfg && chmod 600 moved.cfg; ls > /tmp/names",
    )


SHAPES = (
    bad_order,
    listing,
    times,
    compiling,
    linked,
    deleting,
    layers,
    staged,
    flagged,
    ignored,
    folders,
    scripts,
    searching,
    mounting,
    archived,
    users,
)
