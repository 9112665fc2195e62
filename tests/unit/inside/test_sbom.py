"""The SBOM of a wheel: valid whoever wrote what stands in it, and whole."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.inside.sbom import clean, git_component, licensed, main, plain_url
from tests.support.attesting import valid_sbom
from tests.support.fake_engine import minimal_wheel

if TYPE_CHECKING:
    from pathlib import Path

SHA, COMMIT = "ab" * 32, "c" * 40
LLAMA = "https://github.com/ggerganov/llama.cpp.git"
PINNED: dict[str, Any] = {
    "package": "demo",
    "version": "1.0",
    "source": {
        "name": "demo", "version": "1.0", "kind": "sdist", "digest": f"sha256:{SHA}", "url": "",
    },
    "sources": [
        {
            "name": "cutlass",
            "version": "",
            "kind": "git",
            "digest": f"git:{COMMIT}+submodules=a",
            "url": "https://github.com/NVIDIA/cutlass.git",
        },
        {
            "name": "model",
            "version": "",
            "kind": "archive",
            "digest": f"sha256:{SHA}",
            "url": "https://x.org/model.tgz",
        },
    ],
    "patches": [
        {"source": "demo", "name": "0001-a b.patch", "sha256": SHA},
        {"source": "cutlass", "name": "edits/cutlass.json", "sha256": SHA},
    ],
    "crates": [
        {"name": "one", "version": "1.0.0", "sha256": SHA, "git": False, "url": "", "commit": ""},
        {"name": "two", "version": "2.0.0+x", "sha256": "", "git": True, "url": "https://x.org/two",
         "commit": COMMIT},
    ],
}  # fmt: skip
PARTS: dict[str, Any] = {
    "submodules": [
        {"path": "demo/vendor/llama.cpp", "url": LLAMA, "commit": ""},
        {"path": "sources/cutlass/a", "url": "../a.git", "commit": COMMIT},
    ],
    "licence_files": {"demo/vendor/llama.cpp": ["LICENSE"], "sources/cutlass": ["LICENSE.txt"]},
    "crate_licences": {"one-1.0.0": "MIT OR Apache-2.0"},
    "compiled": ["two-2.0.0+x"],
    "static": [
        {"kind": "deb", "name": "zlib1g-dev", "version": "1:1.3",
         "files": [{"name": "libz.a", "sha256": SHA}]}
    ],
}  # fmt: skip
FILES = {"demo/x.so": b"\x7fELF..", "demo/vendor/y-1.dist-info/RECORD": b""}
NONE: dict[str, Any] = {**{k: type(v)() for k, v in PARTS.items()}}
KEPT = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
URLS = st.builds(
    "https://{}{}".format,
    st.sampled_from(["github.com/", "x.org/", "[::1]/"]),
    st.text(max_size=20),
)
TEXT = st.text(max_size=30) | st.sampled_from(
    ["\x00", "\u202e", "\ud800", '"}', "MIT\nevil", "é" * 300]
)


def sbom_of(
    folder: Path,
    pinned: dict[str, Any] = PINNED,
    parts: dict[str, Any] = PARTS,
    *,
    metadata: bytes = b"",
) -> dict[str, Any]:
    """The SBOM of a wheel, which the strict validator takes."""
    folder.mkdir(exist_ok=True)
    name, content = minimal_wheel("demo", "1.0", files=FILES)
    path = folder / name
    path.write_bytes(content)
    if metadata:
        with zipfile.ZipFile(path, "w") as target:
            target.writestr("demo-1.0.dist-info/METADATA", metadata)
            target.writestr("demo-1.0.dist-info/RECORD", b"")
    for file, value in (("pinned", pinned), ("parts", parts)):
        (folder / f"{file}.json").write_text(json.dumps(value))
    words = ["--pinned", str(folder / "pinned.json"), "--parts", str(folder / "parts.json")]
    assert main([str(folder), *words]) == 0
    text = (folder / f"{name}.cdx.json").read_text(encoding="utf-8")
    return valid_sbom(text)


@pytest.fixture(autouse=True)
def _epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1577836800")


def by_name(sbom: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in sbom["components"]}


def test_the_package_is_what_its_wheel_calls_it_from_its_sdist_and_patches(tmp_path: Path) -> None:
    package = sbom_of(tmp_path)["metadata"]["component"]
    assert package["purl"] == "pkg:pypi/demo@1.0"
    assert package["licenses"] == [{"expression": "MIT"}]
    (ancestor,) = package["pedigree"]["ancestors"]
    assert (ancestor["purl"], ancestor["hashes"][0]["content"]) == ("pkg:pypi/demo@1.0", SHA)
    (patch,) = package["pedigree"]["patches"]
    assert patch == {
        "type": "unofficial",
        "diff": {"url": f"0001-a%20b.patch#sha256={SHA}"},
    }
    (module,) = package["components"]
    assert (module["name"], module["type"]) == ("demo/x.so", "file")
    assert len(module["hashes"][0]["content"]) == 64
    assert package["properties"] == [{"name": "farm:licence-file", "value": "LICENSE"}]


def test_all_else_is_listed_with_a_package_url_and_reached_from_the_package(
    tmp_path: Path,
) -> None:
    sbom = sbom_of(tmp_path)
    assert sorted(each["purl"] for each in sbom["components"]) == [
        "pkg:cargo/one@1.0.0",
        f"pkg:cargo/two@2.0.0%2Bx?vcs_url=git%2Bhttps://x.org/two%40{COMMIT}",
        "pkg:deb/debian/zlib1g-dev@1:1.3",
        f"pkg:generic/a@{COMMIT}",
        f"pkg:generic/model@{SHA}?download_url=https://x.org/model.tgz",
        "pkg:github/ggerganov/llama.cpp",
        f"pkg:github/nvidia/cutlass@{COMMIT}",
    ]
    first, *others = sbom["dependencies"]
    assert first["ref"] == "pkg:pypi/demo@1.0"
    assert first["dependsOn"] == sorted(each["bom-ref"] for each in sbom["components"])
    assert [each["ref"] for each in others] == first["dependsOn"]


def test_crates_have_hash_licence_and_scope(tmp_path: Path) -> None:
    found = by_name(sbom_of(tmp_path))
    one = found["one"]
    assert one["hashes"][0]["content"] == SHA
    assert one["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert one["scope"] == "optional"  # cargo compiled others, and not it
    assert "scope" not in found["two"]
    assert found["two"]["pedigree"]["commits"] == [{"uid": COMMIT}]
    quiet = by_name(sbom_of(tmp_path, parts={**PARTS, "compiled": []}))
    assert "scope" not in quiet["one"]


def test_sources_have_their_changes_places_and_licence_files(tmp_path: Path) -> None:
    found = by_name(sbom_of(tmp_path))
    cutlass = found["cutlass"]
    assert cutlass["pedigree"]["commits"][0]["uid"] == COMMIT
    assert cutlass["pedigree"]["patches"][0]["diff"]["url"] == f"edits/cutlass.json#sha256={SHA}"
    assert cutlass["properties"] == [
        {"name": "farm:path", "value": "sources/cutlass"},
        {"name": "farm:licence-file", "value": "LICENSE.txt"},
    ]
    assert found["llama.cpp"]["properties"][0]["value"] == "demo/vendor/llama.cpp"
    assert found["zlib1g-dev"]["components"][0]["name"] == "libz.a"


def test_the_same_gives_the_same_text_and_no_clock_is_asked(tmp_path: Path) -> None:
    first, second = sbom_of(tmp_path / "a"), sbom_of(tmp_path / "b")
    assert first == second
    assert first["metadata"]["timestamp"] == "2020-01-01T00:00:00Z"
    assert first["serialNumber"] != sbom_of(tmp_path / "c", parts=NONE)["serialNumber"]


def metadata(**fields: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\n".join(["Metadata-Version: 2.4", "Name: demo", *lines, ""]).encode(
        "utf-8", "surrogatepass"
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"License_Expression": "MIT AND (BSD-3-Clause OR GPL-2.0-only WITH x)"},
         [{"expression": "MIT AND (BSD-3-Clause OR GPL-2.0-only WITH x)"}]),
        ({"License": "The MIT <License>"}, [{"license": {"name": "The MIT <License>"}}]),
        ({"Classifier": "License :: OSI Approved :: zlib"}, [{"expression": "zlib"}]),
        ({"Classifier": "Topic :: Games"}, None),
        ({"License": ""}, None),
    ],
)  # fmt: skip
def test_the_licence_is_what_metadata_says(
    tmp_path: Path, said: dict[str, str], expected: Any
) -> None:
    found = sbom_of(tmp_path, metadata=metadata(**said))
    assert found["metadata"]["component"].get("licenses") == expected


@KEPT
@given(words=st.tuples(TEXT, TEXT, TEXT, TEXT, TEXT | URLS))
def test_hostile_words_are_still_a_valid_sbom(
    tmp_path: Path, words: tuple[str, str, str, str, str]
) -> None:
    licence, file, version, name, url = words
    name = name.replace("/", "") or "x"  # part of a path, or a package's name
    parts = {
        "submodules": [{"path": f"demo/{name}", "url": url, "commit": ""}],
        "licence_files": {f"demo/{name}": [file]},
        "crate_licences": {"one-1.0.0": licence},
        "compiled": [name],
        "static": [{"kind": "pypi", "name": name, "version": version, "files": []}],
    }
    said = metadata(License=licence, License_File=file, Version=version, Classifier=name)
    text = json.dumps(sbom_of(tmp_path, parts=parts, metadata=said), ensure_ascii=False)
    assert not {"\x00", "\u202e", "\ud800"} & set(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@x.org/a?token=secret#secret", "https://x.org/a"),
        ("https://[broken", ""),
        ("../inner.git", ""),
        ("git@x.org:a/b.git", ""),
        ("https://x.org/a b", "https://x.org/a%20b"),
        ("ssh://git@x.org:22/a", "ssh://x.org:22/a"),
    ],
)
def test_a_url_shows_nothing_secret(url: str, shown: str) -> None:
    assert plain_url(url) == shown
    assert "secret" not in json.dumps(git_component("a", url, ""))


def test_words_are_cut_and_cleaned() -> None:
    assert clean("a\x1b[31m\u202eb") == "a�[31m�b"
    assert licensed("x" * 999 + "\nmore") == [{"expression": "x" * 200}]
    assert licensed("  \n") == []


def test_a_wheel_that_is_none_gets_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.whl").write_bytes(b"no zip")
    (tmp_path / "x.json").write_text(json.dumps(PINNED))
    words = [
        str(tmp_path),
        "--pinned",
        str(tmp_path / "x.json"),
        "--parts",
        str(tmp_path / "x.json"),
    ]
    assert main(words) == 0
    assert "a.whl gets none" in capsys.readouterr().out
    (tmp_path / "x.json").write_text("{")
    assert main(words) == 74
    assert "farm: error: sbom: " in capsys.readouterr().err
