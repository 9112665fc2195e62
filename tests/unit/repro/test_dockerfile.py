"""A Dockerfile from elsewhere stays within what farm's own do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from farm.errors import IntegrityError
from farm.repro.dockerfile import check_dockerfile

GOLDENS = sorted((Path(__file__).parents[2] / "golden").glob("*/Dockerfile*"))
BASE = "farm-base:trixie-0123456789ab"
GOOD = f"""\
# demo
FROM {BASE} AS base
ENV A=b
RUN --network=none --mount=type=bind,source=wheels,target=/farm/wheels <<EOF
curl x; RUN FROM ADD
EOF
FROM base AS compile
ARG FARM_ATTEMPT=1
RUN --network=none --mount=type=cache,id=farm-log-{"0" * 24},target=/farm/log \\
    --mount=type=secret,id=jobs,target=/run/farm/jobs,required=false true
FROM scratch AS result
COPY --from=compile /out/ /
"""


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_those_that_farm_ships_are_fine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    base = re.search(r"^FROM (\S+) AS", text, re.MULTILINE)
    assert base
    if "smoke" not in path.name:
        check_dockerfile(text, base[1], networked=False)


def test_a_plain_one_is_fine_and_a_networked_one_where_that_is_allowed() -> None:
    check_dockerfile(GOOD, BASE, networked=False)
    networked = GOOD.replace("RUN --network=none", "RUN")
    check_dockerfile(networked, BASE, networked=True)
    with pytest.raises(IntegrityError, match="may use the network"):
        check_dockerfile(networked, BASE, networked=False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# demo", "# syntax=evil/frontend"),
        ("# demo", "#escape=`"),
        ("# demo", "RUN --network=host true"),
        ("# demo", "RUN --network=none --network=default true"),
        ("# demo", "RUN --network=none --security=insecure true"),
        ("# demo", "RUN --network=none --mount=type=ssh true"),
        ("# demo", "RUN --network=none --mount=type=secret,id=token true"),
        ("# demo", "RUN --network=none --mount=type=cache,id=ccache,target=/c true"),
        ("# demo", "RUN --network=none --mount=type=cache,target=/c true"),
        ("# demo", "RUN --network=none --mount=type=cache,id=farm-pool-1,ID=x,target=/c true"),
        ("# demo", "RUN --network=none --mount=type=bind,from=evil,target=/c true"),
        ("# demo", "RUN --network=none --mount=type=bind,from=base,from=evil,target=/c true"),
        ("# demo", "RUN --network=none --mount=type=bind,target=/c,rw true"),
        ("# demo", "RUN --network=none --mount=type=bind,from=$X,target=/c true"),
        ("# demo", "run --network=none true"),
        ("# demo", "ADD https://example.org/x /x"),
        ("# demo", "ONBUILD RUN true"),
        ("# demo", "COPY --from=evil / /"),
        ("# demo", "COPY <<X /x"),
        ("# demo", 'RUN --network=none echo "<<EOF"\nRUN evil\nEOF'),
        ("# demo", "RUN --network=none cat <<EOF\nRUN evil\nEOF"),
        ("# demo", "RUN --network=none true \\\\\nRUN evil"),
        ("# demo", "RUN --network=none true\rRUN evil"),
        ("# demo", "RUN\u00a0evil"),
        ("# demo", "  RUN evil"),
        ("EOF\nFROM base", "FROM base"),
        (f"FROM {BASE}", "FROM evil"),
        (f"FROM {BASE}", f"FROM --platform=x {BASE}"),
        ("FROM base AS compile", "FROM later AS compile"),
        ("FROM base AS compile", "FROM ${X} AS compile"),
        ("FROM base AS compile", "FROM base"),
    ],
)
def test_what_farm_never_writes_is_refused(old: str, new: str) -> None:
    assert old in GOOD
    with pytest.raises(IntegrityError, match="not one of farm's"):
        check_dockerfile(GOOD.replace(old, new, 1), BASE, networked=False)
