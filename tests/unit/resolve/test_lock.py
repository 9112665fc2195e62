from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from typing import TYPE_CHECKING

import pytest
from packaging.pylock import PackageWheel
from packaging.tags import Tag

from farm.errors import FetchError, LockError
from farm.host.network import NetworkSettings
from farm.load.locks import format_lock, inputs_digest, parse_lock
from farm.model.unit import LockInputs
from farm.resolve.lock import Resolver, parsed
from farm.resolve.wheels import best_wheel, container_tags

if TYPE_CHECKING:
    from pathlib import Path

    from farm.store.blobs import Store
    from tests.unit.conftest import Web


def inputs(*requires: str, provided: tuple[str, ...] = (), python: str = "3.13") -> LockInputs:
    return LockInputs(
        source="sha256:" + "0" * 64,
        requires=requires,
        provided=provided,
        python=python,
        glibc="2.41",
    )


def wheel(name: str, version: str, tag: str, needs: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """File name and content of a wheel that holds metadata only."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}-{version}-{tag}.whl", content.getvalue()


def publish(web: Web, project: str, *files: tuple[str, bytes]) -> None:
    entries = []
    for name, content in files:
        url, sha256 = web.put(f"/files/{name}", content)
        entries.append({"filename": name, "url": url, "hashes": {"sha256": sha256}})
    page = {"meta": {"api-version": "1.0"}, "name": project, "files": entries}
    web.put(f"/simple/{project}/", json.dumps(page).encode())
    web.types[f"/simple/{project}/"] = "application/vnd.pypi.simple.v1+json"


@pytest.fixture
def resolver(store: Store, web: Web, tmp_path: Path) -> Resolver:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
    }
    settings = NetworkSettings(index_url=f"{web.base}/simple/")
    return Resolver(store=store, settings=settings, environ=environ)


def test_each_requirement_is_pinned_to_the_wheel_that_fits_the_container(
    resolver: Resolver, web: Web
) -> None:
    tags = (
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp313-cp313-macosx_11_0_arm64",
        "cp313-cp313-manylinux_2_17_x86_64",
        "cp313-cp313-manylinux_2_28_x86_64",
        "cp313-cp313-musllinux_1_2_x86_64",
    )
    publish(web, "aa", *(wheel("aa", "1.0", tag, ("bb>=2",)) for tag in tags))
    publish(web, "bb", wheel("bb", "1.0", "py3-none-any"), wheel("bb", "2.0", "py3-none-any"))
    made = resolver.lock(inputs("bb<3"), ["aa", "cc; python_version < '3.0'"])
    assert [(pin.name, pin.version, pin.filename) for pin in made.pins] == [
        ("aa", "1.0", "aa-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"),
        ("bb", "2.0", "bb-2.0-py3-none-any.whl"),
    ]
    content = web.files["/files/bb-2.0-py3-none-any.whl"]
    assert made.pins[1].sha256 == hashlib.sha256(content).hexdigest()
    assert made.inputs == inputs_digest(inputs("bb<3"))
    assert parse_lock(format_lock(made), "lock") == made


def test_what_is_provided_otherwise_is_left_out_with_what_only_it_needs(
    resolver: Resolver, web: Web
) -> None:
    publish(web, "torch", wheel("torch", "2.11.0", "py3-none-any", ("huge",)))
    publish(web, "huge", wheel("huge", "1", "py3-none-any"))
    publish(web, "aa", wheel("aa", "1", "py3-none-any", ("torch",)))
    made = resolver.lock(inputs("aa", provided=("Torch",)), ["torch == 2.11.0"])
    assert [pin.name for pin in made.pins] == ["aa"]


def test_nothing_required_asks_nobody(resolver: Resolver, web: Web) -> None:
    assert resolver.lock(inputs(provided=("torch",)), ["torch"]).pins == ()
    assert web.requests == []


def test_a_conflict_is_told_in_the_words_of_uv(resolver: Resolver, web: Web) -> None:
    publish(web, "aa", wheel("aa", "1", "py3-none-any"))
    with pytest.raises(LockError, match=r"aa==9.*no version of aa==9") as caught:
        resolver.lock(inputs("aa==9"), [])
    assert "\n" not in caught.value.message


def test_a_requirement_with_an_sdist_only_is_not_built(resolver: Resolver, web: Web) -> None:
    publish(web, "aa", ("aa-1.tar.gz", b"never unpacked"))
    with pytest.raises(LockError, match="aa"):
        resolver.lock(inputs("aa"), [])


def test_an_index_that_cannot_be_reached_is_a_fetch_error(store: Store, tmp_path: Path) -> None:
    settings = NetworkSettings(index_url="http://me:hush-hush@127.0.0.1:9/simple/")
    environ = {"HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "uv")}
    resolver = Resolver(store=store, settings=settings, environ=environ)
    with pytest.raises(FetchError, match="cannot ask the index") as caught:
        resolver.lock(inputs("aa"), [])
    assert "hush-hush" not in repr(caught.value)


def test_find_links_and_settings_of_uv_change_nothing(
    resolver: Resolver, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    name, content = wheel("aa", "99", "py3-none-any")
    (links / name).write_bytes(content)
    (tmp_path / "uv.toml").write_text(f'find-links = ["{links}"]\n')
    monkeypatch.chdir(tmp_path)
    publish(web, "aa", wheel("aa", "1", "py3-none-any"))
    leaky = {
        **(resolver.environ or {}),
        "UV_FIND_LINKS": str(links),
        "PIP_FIND_LINKS": str(links),
        "UV_CONFIG_FILE": str(tmp_path / "uv.toml"),
        "UV_EXCLUDE_NEWER": "2001-01-01",
        "UV_INDEX": "http://127.0.0.1:9/",
        "UV_OFFLINE": "1",
    }
    made = Resolver(store=resolver.store, settings=resolver.settings, environ=leaky)
    assert made.lock(inputs("aa"), []).pins[0].version == "1"


@pytest.mark.parametrize(
    "text", ["-r /etc/passwd", "--index-url=http://x", "a\n-r x", "a @ file:///x.whl", "./a"]
)
def test_a_requirement_cannot_be_an_option_a_path_or_a_url(
    resolver: Resolver, web: Web, text: str
) -> None:
    with pytest.raises(LockError):
        resolver.lock(inputs(text), [])
    assert web.requests == []


@pytest.mark.parametrize("python", ["3", "3.13.1", "3.x", "", "-3.13"])
def test_a_python_version_is_written_with_two_numbers(resolver: Resolver, python: str) -> None:
    with pytest.raises(LockError, match="Python version"):
        resolver.lock(inputs("aa", python=python), [])


def test_no_wheel_for_the_container_is_told_with_those_there_are(
    resolver: Resolver, web: Web
) -> None:
    # uv takes a wheel for some other Python; the choice for the container does not.
    publish(web, "aa", wheel("aa", "1", "cp312-cp312-manylinux_2_17_x86_64"))
    with pytest.raises(LockError, match="aa"):
        resolver.lock(inputs("aa"), [])


@pytest.mark.parametrize("text", ["aa==1", "", 'lock-version = "2.0"\ncreated-by = "uv"\n'])
def test_what_is_no_pylock_is_refused(text: str) -> None:
    with pytest.raises(LockError, match="uv gave no pylock"):
        parsed(text)


def test_a_wheel_is_taken_only_with_a_sha256(resolver: Resolver, web: Web) -> None:
    name, content = wheel("aa", "1", "py3-none-any")
    url, _ = web.put(f"/files/{name}", content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    entry = {"filename": name, "url": url, "hashes": {"md5": md5}}
    page = {"meta": {"api-version": "1.0"}, "name": "aa", "files": [entry]}
    web.put("/simple/aa/", json.dumps(page).encode())
    web.types["/simple/aa/"] = "application/vnd.pypi.simple.v1+json"
    with pytest.raises(LockError, match="aa 1 has no wheel"):
        resolver.lock(inputs("aa"), [])


def files(*names: str) -> list[PackageWheel]:
    return [PackageWheel(name=n, url=f"https://h/{n}", hashes={"sha256": "0" * 64}) for n in names]


def test_the_best_wheel_is_the_most_specific_that_the_glibc_allows() -> None:
    tags = container_tags(python="3.13", glibc="2.31")
    found = best_wheel(
        files(
            "a-1-py3-none-any.whl",
            "a-1-cp313-cp313-manylinux_2_34_x86_64.whl",
            "a-1-cp313-cp313-manylinux_2_28_x86_64.whl",
            "a-1-cp313-cp313t-manylinux_2_28_x86_64.whl",
            "a-1-cp311-abi3-manylinux2014_x86_64.whl",
            "a-1-cp313-cp313-manylinux2014_aarch64.whl",
        ),
        tags,
    )
    assert found is not None
    assert found.filename == "a-1-cp313-cp313-manylinux_2_28_x86_64.whl"
    assert best_wheel(files("a-1-cp314-cp314-manylinux_2_28_x86_64.whl"), tags) is None
    newer = best_wheel(files("a-1-1-py3-none-any.whl", "a-1-2-py3-none-any.whl"), tags)
    assert newer is not None
    assert newer.filename == "a-1-2-py3-none-any.whl"


def test_the_tags_of_a_container_reach_from_its_glibc_down_to_the_oldest() -> None:
    tags = set(container_tags(python="3.13", glibc="2.41"))
    for platform in ("manylinux_2_41_x86_64", "manylinux1_x86_64", "linux_x86_64"):
        assert Tag("cp313", "cp313", platform) in tags
    assert Tag("cp38", "abi3", "manylinux2014_x86_64") in tags
    assert Tag("py3", "none", "any") in tags
    assert Tag("cp313", "cp313", "manylinux_2_42_x86_64") not in tags


def test_real_build_requirements_lock_to_real_wheels(store: Store) -> None:
    made = Resolver(store=store, settings=NetworkSettings.of_machine()).lock(
        inputs("idna"), ["flit-core>=3.2"]
    )
    assert [pin.name for pin in made.pins] == ["flit-core", "idna"]
    assert all(pin.filename.endswith("-py3-none-any.whl") for pin in made.pins)
