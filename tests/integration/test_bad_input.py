"""What a user can get wrong, typed or written: each is told with its place, and no traceback.

Needs no engine: whatever is wrong is found before one is asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import re
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.farming import Farm, add_variant, copy_project, share_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.engine.endpoint import Endpoint

RECIPE, PLAN, USAGE, FETCH, INTEGRITY = 3, 4, 2, 5, 6
PLACE = r"recipes/odd\.yaml:\d+:\d+: "

GOOD = """\
package: odd
versions:
  "1.0":
    source: {tree: tiny}
variants:
  cpu:
    toolchain: cpu
"""


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    """A project, and a cache folder in which there is no engine and must not be one."""
    return Farm(root=copy_project("faults", tmp_path / "project"), cache=tmp_path / "cache")


@pytest.fixture
def fetching(farm: Farm, farm_cache: Path, private_engine: Endpoint, tmp_path: Path) -> Farm:
    """Engine and base of all tests, so that none is made meanwhile, but no source."""
    del private_engine
    cache = share_cache(farm_cache, tmp_path / "fetching")
    (cache / "store").unlink()
    return Farm(root=farm.root, cache=cache)


def write(farm: Farm, text: str | bytes, name: str = "odd") -> None:
    data = text.encode() if isinstance(text, str) else text
    (farm.root / f"recipes/{name}.yaml").write_bytes(data)


def refused(farm: Farm, code: int, *arguments: str) -> str:
    """What is said on stderr; nothing is printed, and nothing is left behind."""
    done = farm.run("build", *arguments)
    assert done.code == code, done.said
    assert "Traceback" not in done.said
    assert done.stdout == ""
    assert not farm.out.exists()
    assert not farm.cache.exists()
    return done.stderr


FAULTY = {
    "unknown key": (GOOD + "colour: green\n", r"8:1: unknown key 'colour'"),
    "nearly a key": (GOOD + "summry: x\n", r"8:1: unknown key 'summry'.*'summary'"),
    "wrong type": (GOOD + "summary: [a]\n", r"8:10: summary: "),
    "3.10 as a number": (
        GOOD.replace('"1.0"', "3.10").replace("tree: tiny", "sdist: abc"),
        r"4:\d+: versions\.3\.10\.source.*sdist",
    ),
    "a version that is a list": (GOOD.replace('"1.0":', "[1]:"), r"3:3: "),
    "on as a value": (GOOD + "env: {X: on}\nrequires: on\n", r"9:11: requires: "),
    "unknown architecture": (
        GOOD.replace(
            "cpu:\n    toolchain: cpu", "gpu:\n    toolchain: cuda-13.0\n    archs: [sm_68]"
        ),
        r"8:\d+: variants\.gpu\.archs.*'sm_68'.*perhaps.*'sm_86'",
    ),
    "no architecture at all": (
        GOOD.replace("toolchain: cpu", "toolchain: cpu\n    archs: ['; rm -rf /']"),
        r"8:\d+: variants\.cpu\.archs",
    ),
    "unknown toolchain": (
        GOOD.replace("toolchain: cpu", "toolchain: cpuu"),
        r"7:16: variants\.cpu\.toolchain.*'cpuu'.*perhaps.*'cpu'",
    ),
    "duplicate key": (GOOD + "  cpu:\n    toolchain: none\n", r"8:3: .*duplicate key 'cpu'"),
    "patch missing": (
        GOOD + "    patches: [0001-gone.patch]\n",
        r"8:\d+: variants\.cpu\.patches\[0\]: there is no patches/odd/1\.0/0001-gone\.patch",
    ),
    "patch elsewhere": (
        GOOD + "    patches: [../../etc/passwd]\n",
        r"8:\d+: variants\.cpu\.patch",
    ),
    "name with a shell in it": (
        GOOD.replace("package: odd", "package: 'odd; rm -rf /'"),
        r"1:10: package",
    ),
    "name that climbs": (GOOD.replace("package: odd", "package: ../../odd"), r"1:10: package"),
    "name of another": (GOOD.replace("package: odd", "package: even"), r"1:10: package"),
    "version that climbs": (GOOD.replace('"1.0"', '"../1"'), r"3:3: "),
    "variant that climbs": (GOOD.replace("  cpu:\n", "  ../cpu:\n"), r"6:3: "),
    "tree that climbs": (GOOD.replace("tree: tiny", "tree: ../../.."), r"4:\d+: .*tree"),
    "tree that is not there": (GOOD.replace("tree: tiny", "tree: tinny"), r"4:\d+: .*tinny"),
    "hash that is none": (
        GOOD.replace("tree: tiny", "sdist: 1234"),
        r"4:\d+: versions.*source.*sdist",
    ),
    "NUL": (GOOD.replace("odd", "o\0dd"), r"1:11: .*U\+0000"),
    "tab": (GOOD + "\tsummary: x\n", r"8:1: "),
    "not closed": (GOOD + "env: {X: 1\n", r"\d+:\d+: "),
    "a list": ("- a\n- b\n", r"1:1: "),
    "empty": ("", r"1:1: the file is empty"),
    "only a comment": ("# nothing\n", r"1:\d+: the file is empty"),
    "alias bomb": ("a: &a [x]\nb: [*a, *a]\n", r"\d+:\d+: "),
    "python object": (GOOD + "env: !!python/object/apply:os.system [id]\n", r"8:6: "),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_recipe_is_refused_with_the_place_of_the_fault(farm: Farm, fault: str) -> None:
    text, expected = FAULTY[fault]
    write(farm, text)
    said = refused(farm, RECIPE, "odd")
    assert re.search(rf"recipes/odd\.yaml:{expected}", said), said


def test_bytes_that_are_no_text_are_refused(farm: Farm) -> None:
    write(farm, b"package: \xff\xfe\n")
    assert re.search(r"recipes/odd\.yaml:1:10: .*UTF-8", refused(farm, RECIPE, "odd"))


def test_ten_megabytes_are_refused_without_being_read(farm: Farm) -> None:
    write(farm, GOOD + "# filler\n" * (10 * 2**20 // 9))
    assert "recipes/odd.yaml: the file is too large" in refused(farm, RECIPE, "odd")


def test_many_problems_are_all_told_at_once(farm: Farm) -> None:
    write(
        farm,
        "package: odd\ncolour: green\nversions:\n  '1.0':\n    source: {sdist: 12}\n"
        "jobs: {memory_per_job: lots}\nvariants:\n  cpu:\n    toolchain: cpuu\n"
        "    patches: [0001-gone.patch]\n  gpu:\n    toolchain: cuda-13.0\n    archs: [sm_68]\n",
    )
    said = refused(farm, RECIPE, "odd")
    for line in (2, 5, 6):
        assert re.search(rf"recipes/odd\.yaml:{line}:\d+: ", said), said
    assert "3 problems" in said


def test_many_problems_between_files_are_all_told_at_once(farm: Farm) -> None:
    write(
        farm,
        "package: odd\nversions:\n  '1.0':\n    source: {tree: tinny}\nvariants:\n"
        "  cpu:\n    toolchain: cpuu\n    patches: [0001-gone.patch]\n",
    )
    said = refused(farm, RECIPE, "odd")
    for line in (4, 7, 8):
        assert re.search(rf"recipes/odd\.yaml:{line}:\d+: ", said), said


def test_a_cycle_is_refused_with_its_path(farm: Farm) -> None:
    for name, other in (("odd", "even"), ("even", "prime"), ("prime", "odd")):
        needs = f"    needs: [{{package: {other}, version: '1.0', variant: cpu}}]\n"
        write(farm, GOOD.replace("odd", name) + needs, name)
    said = refused(farm, PLAN, "odd")
    path = " → ".join(f"{name}@1.0:cpu" for name in ("odd", "even", "prime", "odd"))
    assert path in said, said


def test_a_need_that_does_not_exist_is_told_with_its_place(farm: Farm) -> None:
    write(farm, GOOD + "    needs: [{package: tiny, version: '9.9', variant: cpu}]\n")
    done = farm.run("plan", "odd")
    assert done.code in {RECIPE, PLAN}
    assert re.search(PLACE + r".*9\.9", done.stderr), done.stderr


def test_two_target_devices_are_refused(farm: Farm) -> None:
    done = farm.run("plan", "vllm:cuda", "vllm:rocm", "--feature", "no-such-feature")
    assert done.code == USAGE
    text = GOOD.replace(
        "cpu:\n    toolchain: cpu",
        "gpu:\n    toolchain: cuda-13.0\n    archs: [sm_86, gfx942]",
    )
    write(farm, text)
    said = refused(farm, PLAN, "odd")
    why = r"variants\.gpu\.toolchain: cuda-13\.0 cannot compile for gfx942: .* known to rocm"
    assert re.search(PLACE + why, said), said


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("tiny:cpuu", "'cpu'"),
        ("tinny", "'tiny'"),
        ("tiny@2.0", "1.0"),
        ("tiny; rm -rf /", "no selector"),
        ("../../etc/passwd", "no selector"),
        ("tiny:../../cpu", "no variant"),
        ("tiny@../1", "no version"),
        ("", "no selector"),
        ("x" * 100_000, "x"),
        ("tiny:cpu\n", "no selector"),
    ],
)
def test_a_selector_that_names_nothing_is_refused_with_the_nearest_name(
    farm: Farm, selector: str, expected: str
) -> None:
    said = refused(farm, USAGE, selector)
    assert expected in said
    assert len(said) < 1000


def test_no_recipe_makes_this_machine_run_anything(farm: Farm, tmp_path: Path) -> None:
    """Whatever looks like a command stays a word of the recipe, quoted for the container."""
    witness = tmp_path / "witness"
    command = f"$(touch {witness}); `touch {witness}`; touch {witness} #"
    add_variant(farm.root, "sly", f'summary: "{command}"', f'env: {{X: "{command}"}}')
    for verb in ("plan", "show", "render"):
        done = farm.run(verb, "tiny:sly")
        assert done.code == 0, done.said
    assert not witness.exists()


class _Files(http.server.BaseHTTPRequestHandler):
    files: dict[str, tuple[bytes, int]]

    def do_GET(self) -> None:
        if self.path not in self.files:
            self.send_error(404)
            return
        content, declared = self.files[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(declared))
        self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "x/x")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        pass


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, tuple[bytes, int]]]]:
    files: dict[str, tuple[bytes, int]] = {}
    handler = type("Files", (_Files,), {"files": files})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", files
        server.shutdown()
        thread.join()


def archive() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        member = tarfile.TarInfo("big-1.0/data")
        member.size = 4096
        tar.addfile(member, io.BytesIO(bytes(4096)))
    return gzip.compress(stream.getvalue(), mtime=0)


def with_archive(farm: Farm, url: str, sha256: str) -> None:
    recipe = farm.root / "recipes/tiny.yaml"
    with recipe.open("a", encoding="utf-8") as stream:
        stream.write(f"sources:\n  big: {{source: {{archive: '{url}', sha256: {sha256}}}}}\n")


def test_a_source_that_is_not_what_its_hash_says_is_refused(
    fetching: Farm, served: tuple[str, dict[str, tuple[bytes, int]]]
) -> None:
    base, files = served
    content = archive()
    files["/big-1.0.tar.gz"] = (content, len(content))
    wanted = hashlib.sha256(b"something else").hexdigest()
    with_archive(fetching, f"{base}/big-1.0.tar.gz", wanted)
    done = fetching.build("tiny:cpu")
    assert done.code == INTEGRITY, done.said
    ended = done.ended("tiny@1.0:cpu")
    told = "\n".join([ended["message"], *ended["details"], ended["hint"]])
    assert wanted in told
    assert hashlib.sha256(content).hexdigest() in told
    assert not list(fetching.cache.rglob(wanted))


def test_a_source_that_is_cut_short_is_refused(
    fetching: Farm, served: tuple[str, dict[str, tuple[bytes, int]]]
) -> None:
    base, files = served
    content = archive()
    files["/big-1.0.tar.gz"] = (content[: len(content) // 2], len(content))
    with_archive(fetching, f"{base}/big-1.0.tar.gz", hashlib.sha256(content).hexdigest())
    done = fetching.build("tiny:cpu")
    assert done.code in {FETCH, INTEGRITY}, done.said
    assert "big-1.0.tar.gz" in done.ended("tiny@1.0:cpu")["message"]
    assert "Traceback" not in done.said


def test_a_source_that_is_not_there_is_told_with_its_address(
    fetching: Farm, served: tuple[str, dict[str, tuple[bytes, int]]]
) -> None:
    base, _ = served
    with_archive(fetching, f"{base}/gone.tar.gz", "0" * 64)
    done = fetching.build("tiny:cpu")
    assert done.code == FETCH, done.said
    assert "404" in done.ended("tiny@1.0:cpu")["message"]


def test_a_version_without_sdist_is_told(
    farm: Farm, served: tuple[str, dict[str, tuple[bytes, int]]]
) -> None:
    base, files = served
    name = "odd-1.0-py3-none-any.whl"
    page = f'<a href="{name}#sha256={"0" * 64}">{name}</a>'.encode()
    files["/simple/odd/"] = (page, len(page))
    write(farm, GOOD.replace("tree: tiny", f"sdist: {'0' * 64}"))
    done = farm.with_variables(UV_DEFAULT_INDEX=f"{base}/simple/").run("lock", "odd")
    assert done.code == FETCH, done.said
    assert "Traceback" not in done.said
    assert re.search(r"odd 1\.0.*sdist|sdist.*odd 1\.0", done.stderr), done.stderr


def test_plan_and_build_say_the_same(farm: Farm) -> None:
    write(farm, GOOD + "colour: green\n")
    assert farm.run("plan", "odd").stderr == refused(farm, RECIPE, "odd")


def test_a_traceback_is_only_for_those_who_ask(farm: Farm) -> None:
    write(farm, "")
    assert "Traceback" not in farm.run("plan", "odd").said
    assert "Traceback" in farm.run("--debug", "plan", "odd").stderr
