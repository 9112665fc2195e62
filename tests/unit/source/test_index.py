from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from farm.errors import FetchError, IntegrityError
from farm.host.network import NetworkSettings
from farm.source.index import PackageIndex

if TYPE_CHECKING:
    from tests.unit.conftest import Web

JSON = "application/vnd.pypi.simple.v1+json"
ONE, TWO = "1" * 64, "2" * 64


def publish(web: Web, project: str, files: dict[str, str | None], base: str = "/files") -> None:
    entries = [
        {"filename": name, "url": f"{base}/{name}", "hashes": {"sha256": sha} if sha else {}}
        for name, sha in files.items()
    ]
    page = {"meta": {"api-version": "1.0"}, "name": project, "files": entries}
    web.put(f"/simple/{project}/", json.dumps(page).encode())
    web.types[f"/simple/{project}/"] = JSON


@pytest.fixture
def index(web: Web) -> PackageIndex:
    return PackageIndex(NetworkSettings(index_url=f"{web.base}/simple/"))


def test_the_sdist_of_a_version_is_found(index: PackageIndex, web: Web) -> None:
    publish(
        web,
        "some-thing",
        {
            "some_thing-1.0-py3-none-any.whl": TWO,
            "some_thing-1.0.zip": TWO,
            "some_thing-1.0.tar.gz": ONE,
        },
    )
    for name, version in (("Some.Thing", "1.0"), ("some-thing", "1.0.0")):
        found = index.find_sdist(name, version)
        assert (found.filename, found.sha256) == ("some_thing-1.0.tar.gz", ONE)
        assert found.url == f"{web.base}/files/some_thing-1.0.tar.gz"
    assert len(web.requests) == 1


def test_an_index_that_speaks_html_only_will_do(index: PackageIndex, web: Web) -> None:
    text = f'<!DOCTYPE html><a href="../../f/a-1.tar.gz#sha256={ONE}">a-1.tar.gz</a>'
    web.put("/simple/a/", text.encode())
    web.types["/simple/a/"] = "text/html"
    found = index.find_sdist("a", "1")
    assert (found.url, found.sha256, found.size) == (f"{web.base}/f/a-1.tar.gz", ONE, None)


def test_a_version_that_does_not_exist_is_told_with_the_nearest(
    index: PackageIndex, web: Web
) -> None:
    publish(web, "a", {f"a-{number}.0.tar.gz": ONE for number in range(1, 20)})
    with pytest.raises(FetchError) as caught:
        index.find_sdist("a", "9.5")
    assert caught.value.message == (
        "a has no version 9.5 on the index; the nearest are 7.0, 8.0, 9.0, 10.0, 11.0, 12.0"
    )


def test_a_version_without_sdist_is_told_with_what_there_is(index: PackageIndex, web: Web) -> None:
    publish(web, "a", {"a-1-py3-none-any.whl": ONE})
    with pytest.raises(FetchError, match=r"a 1 has no sdist on the index, only a-1-py3-none-any"):
        index.find_sdist("a", "1")


def test_a_project_that_does_not_exist_is_told(index: PackageIndex) -> None:
    with pytest.raises(FetchError, match="no project 'absent' on the index"):
        index.find_sdist("absent", "1")


def test_a_project_without_files_is_told(index: PackageIndex, web: Web) -> None:
    publish(web, "a", {})
    with pytest.raises(FetchError, match="it has no files at all"):
        index.find_sdist("a", "1")


def test_a_file_is_found_by_name_or_hash(index: PackageIndex, web: Web) -> None:
    publish(web, "a", {"a-1-py3-none-any.whl": ONE, "a-1.tar.gz": TWO})
    assert index.find_file("a", "1", filename="a-1.tar.gz").sha256 == TWO
    assert index.find_file("a", "1", sha256=ONE).filename == "a-1-py3-none-any.whl"
    with pytest.raises(FetchError, match=r"a 1 has no b\.whl, but a-1-py3"):
        index.find_file("a", "1", filename="b.whl")


def test_another_hash_than_the_pinned_one_is_told_with_both(index: PackageIndex, web: Web) -> None:
    publish(web, "a", {"a-1.tar.gz": ONE})
    with pytest.raises(IntegrityError, match=f"{TWO}; the index has a-1.tar.gz {ONE}"):
        index.find_file("a", "1", sha256=TWO)


def test_a_file_without_sha256_cannot_be_pinned(index: PackageIndex, web: Web) -> None:
    publish(web, "a", {"a-1.tar.gz": None})
    with pytest.raises(FetchError, match="gives no sha256"):
        index.find_sdist("a", "1")


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a\nb", "", "-x", "a?b"])
def test_a_name_cannot_lead_elsewhere_on_the_index(
    index: PackageIndex, web: Web, name: str
) -> None:
    with pytest.raises(FetchError, match="unusable file name"):
        index.find_sdist(name, "1")
    assert web.requests == []


def test_a_file_name_of_the_index_cannot_lead_elsewhere(index: PackageIndex, web: Web) -> None:
    publish(web, "a", {"../../a-1.tar.gz": ONE, "a-1.tar.gz": TWO})
    assert index.find_sdist("a", "1").sha256 == TWO


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", JSON),
        (b"[]", JSON),
        (b"{}", JSON),
        (b"\xff\xfe", JSON),
        (b"x", "image/png"),
        (b'{"meta": {"api-version": "2.0"}, "name": "a", "files": []}', JSON),
    ],
)
def test_an_answer_that_is_no_index_page_is_told(
    index: PackageIndex, web: Web, content: bytes, kind: str
) -> None:
    web.put("/simple/a/", content)
    web.types["/simple/a/"] = kind
    with pytest.raises(FetchError, match="cannot ask the index"):
        index.find_sdist("a", "1")


def test_a_server_error_is_tried_again(index: PackageIndex, web: Web) -> None:
    publish(web, "a", {"a-1.tar.gz": ONE})
    web.faults["/simple/a/"] = ["status 503", "status 502"]
    assert index.find_sdist("a", "1").sha256 == ONE


def test_lasting_server_errors_are_told(index: PackageIndex, web: Web) -> None:
    web.faults["/simple/a/"] = ["status 500"] * 9
    with pytest.raises(FetchError, match="500"):
        index.find_sdist("a", "1")


def test_the_password_of_the_index_is_sent_and_never_shown(web: Web) -> None:
    secret = web.base.replace("://", "://me:hush-hush@")
    index = PackageIndex(NetworkSettings(index_url=f"{secret}/simple"))
    publish(web, "a", {"a-1.tar.gz": ONE})
    found = index.find_sdist("a", "1")
    assert "Authorization" in web.requests[0][1]
    with pytest.raises(FetchError) as caught:
        index.find_sdist("absent", "1")
    assert "hush-hush" not in f"{found!r} {caught.value!r}"


def test_the_default_is_the_library_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import pypi_simple

    assert PackageIndex(NetworkSettings()).endpoint == pypi_simple.PYPI_SIMPLE_ENDPOINT


def test_the_real_index_has_real_packages() -> None:
    found = PackageIndex().find_sdist("flit-core", "3.12.0")
    assert found.filename == "flit_core-3.12.0.tar.gz"
    assert found.sha256 == "18f63100d6f94385c6ed57a72073443e1a71a4acb4339491615d0f16d6ff01b2"
