"""Finding the Debian mirror in what a machine's apt is configured with."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.debian import archive, toolbox
from farm.debian.archive import AptSource, choose_mirror, configured_sources, parse_deb822
from farm.errors import EngineError
from tests.support.debian import DATE, deb

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
# a comment
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# another one
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
 contrib

Types: deb-src
URIs: http://mirror.example/sources
Suites: sid
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: sid
Components: main
"""


def test_stanzas_give_one_source_for_each_uri_and_none_when_disabled_or_only_sources() -> None:
    found = list(parse_deb822(DEB822))
    assert [source.uri for source in found] == [
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
    ]
    assert found[0].suites == ("bookworm", "bookworm-updates")
    assert found[1].components == ("main", "contrib")


def test_one_line_style_is_read_with_its_options() -> None:
    text = (
        "# deb http://commented.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] https://a.example/debian bookworm main contrib # why\n"
        "deb-src http://b.example/debian bookworm main\n"
        "deb http://c.example/debian ./\n"
    )
    assert list(archive.parse_list(text)) == [
        AptSource(
            uri="https://a.example/debian",
            suites=("bookworm",),
            components=("main", "contrib"),
            signed_by="/k.gpg",
        ),
        AptSource(uri="http://c.example/debian", suites=("./",), components=()),
    ]


def test_security_and_third_parties_are_not_taken_for_the_main_archive() -> None:
    third_party = AptSource(
        uri="https://packages.example/debian",
        suites=("stable",),
        components=("main",),
        signed_by="/etc/apt/keyrings/example.gpg",
    )
    assert choose_mirror([third_party, *parse_deb822(DEB822)]) == "http://mirror.example/debian"
    assert choose_mirror([third_party]) is None
    assert choose_mirror([]) is None


def test_a_plain_old_configuration_without_keyring_is_enough() -> None:
    plain = AptSource(uri="http://m.example/debian/", suites=("bookworm",), components=("main",))
    assert choose_mirror([plain]) == "http://m.example/debian/"


def test_both_styles_of_files_are_found(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://one.example/debian trixie main\n")
    (parts / "a.list").write_text("deb http://two.example/debian trixie main\n")
    (parts / "b.sources").write_text(DEB822)
    uris = [source.uri for source in configured_sources(tmp_path)]
    assert uris[:3] == [
        "http://one.example/debian",
        "http://two.example/debian",
        "http://mirror.example/debian",
    ]


def test_no_mirror_is_an_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(archive.MIRROR_VARIABLE, raising=False)
    with pytest.raises(EngineError) as caught:
        archive.mirror(tmp_path)
    assert archive.MIRROR_VARIABLE in caught.value.hint


def test_the_variable_wins_and_must_be_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(archive.MIRROR_VARIABLE, "https://m.example/debian")
    assert archive.mirror() == "https://m.example/debian"
    for wrong in (
        "mirror.example",
        "file:///srv/debian",
        "http://a b",
        "https://x/ ] main",
        "; rm",
    ):
        monkeypatch.setenv(archive.MIRROR_VARIABLE, wrong)
        with pytest.raises(EngineError, match="is no http"):
            archive.mirror()


def test_the_security_archive_is_what_apt_has_or_lies_beside_the_mirror(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for uri, beside in (
        ("https://m.example/debian", "https://m.example/debian-security"),
        ("https://m.example/debian/", "https://m.example/debian-security"),
        ("https://debian.example/x/debian/2026", "https://debian.example/x/debian-security/2026"),
        ("https://m.example/mirror", "https://m.example/mirror-security"),
    ):
        monkeypatch.setenv(archive.MIRROR_VARIABLE, uri)
        assert archive.archives() == {"debian": uri.rstrip("/"), "debian-security": beside}
    monkeypatch.delenv(archive.MIRROR_VARIABLE)
    configured = tuple(parse_deb822(DEB822.replace("debian-security", "s/debian-s")))
    monkeypatch.setattr(archive, "configured_sources", lambda *_: configured)
    assert archive.archives()["debian-security"] == "http://mirror.example/s/debian-s"


def test_a_released_suite_comes_with_its_corrections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(archive.MIRROR_VARIABLE, "https://m.example/debian")
    found = archive.sources_of("trixie", ("contrib",))
    assert [(s.archive, s.suite, s.optional) for s in found] == [
        ("debian", "trixie", False),
        ("debian", "trixie-updates", True),
        ("debian-security", "trixie-security", True),
    ]
    assert all(source.components == ("main", "contrib") for source in found)
    found = archive.sources_of("sid", (), ("experimental",))
    assert [source.suite for source in found] == ["sid", "experimental"]


def test_a_package_is_had_from_the_mirror_then_from_the_snapshot_archive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(archive.MIRROR_VARIABLE, "https://m.example/debian")
    monkeypatch.setenv(archive.SNAPSHOT_VARIABLE, "https://s.example/@PATH@/@SNAPSHOTID@/")
    fixed = replace(deb("x"), path="debian-security/pool/x_1+b~1.deb")
    assert archive.urls_of(fixed, DATE, archive.snapshots()) == (
        "https://m.example/debian-security/pool/x_1%2Bb~1.deb",
        f"https://s.example/debian-security/{DATE}/pool/x_1%2Bb~1.deb",
    )
    assert len(archive.urls_of(fixed, DATE, "")) == 1


def test_a_newer_apt_knows_the_snapshot_archive(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(archive.SNAPSHOT_VARIABLE, raising=False)
    key = "Acquire::Snapshots::URI::Host::"
    lines = (
        f'{key}x.ubuntu.example "https://u/@PATH@/";\n{key}x.debian.example "https://s/@PATH@/";'
    )
    (tmp_path / "dump").write_text(lines)
    assert archive.snapshots(("cat", str(tmp_path / "dump"), "-")) == "https://s/@PATH@/"
    assert archive.snapshots(("farm-no-such-program",)) == ""


def test_everything_that_is_missing_is_named_at_once() -> None:
    tools = [("farm-no-such-a", "pkg-a"), ("sh", "dash"), ("farm-no-such-b", "pkg-b")]
    with pytest.raises(EngineError) as caught:
        archive.require_tools(tools, purpose="this test")
    assert "farm-no-such-a, farm-no-such-b" in caught.value.message
    assert "pkg-a pkg-b" in caught.value.hint
    assert "dash" not in caught.value.hint


def test_an_empty_variable_for_certificates_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("x")
    monkeypatch.setenv("PIP_CERT", "")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert archive.ca_bundle() == str(bundle)


def test_only_proxies_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere")
    monkeypatch.delenv("no_proxy", raising=False)
    passed = toolbox.host_environment()
    assert passed["https_proxy"] == "http://proxy.example:3128"
    assert "DOCKER_HOST" not in passed
    assert "no_proxy" not in passed


def test_importing_the_bases_stays_light() -> None:
    code = (
        "import sys; import farm.debian.bases, farm.engine.endpoint; "
        "print([m for m in ('requests', 'pydantic', 'rich') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"
