from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from farm.debian import archive
from farm.errors import FetchError
from farm.host.network import CA_VARIABLES, NetworkSettings, proxy_variables
from farm.resolve.lock import _uv_environment
from farm.source.crates import _environment
from farm.source.repository import environment

if TYPE_CHECKING:
    from pathlib import Path


def of(tmp_path: Path, **environ: str) -> NetworkSettings:
    base = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg"), **environ}
    return NetworkSettings.of_machine(base)


def conf(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_index_is_the_one_that_uv_or_pip_is_set_up_with(tmp_path: Path) -> None:
    conf(tmp_path / ".config/pip/pip.conf", "[global]\nindex_url = https://conf/%x/simple\n")
    assert of(tmp_path).index_url == "https://conf/%x/simple"
    assert of(tmp_path, PIP_INDEX_URL="https://pip/").index_url == "https://pip/"
    both = of(tmp_path, PIP_INDEX_URL="https://pip/", UV_DEFAULT_INDEX="corp=https://uv/")
    assert both.index_url == "https://uv/"


def test_a_named_configuration_file_wins_and_the_null_device_silences_all(tmp_path: Path) -> None:
    conf(tmp_path / ".pip/pip.conf", "[global]\nindex-url = https://user/\n")
    named = conf(tmp_path / "named.conf", "[global]\nindex-url = https://named/\n")
    assert of(tmp_path).index_url == "https://user/"
    assert of(tmp_path, PIP_CONFIG_FILE=str(named)).index_url == "https://named/"
    assert of(tmp_path, PIP_CONFIG_FILE="/dev/null").index_url is None


@pytest.mark.parametrize("text", ["", "[install]\nindex-url = https://x/\n", "no section", "\xff"])
def test_other_sections_and_broken_files_do_not_count(tmp_path: Path, text: str) -> None:
    named = tmp_path / "pip.conf"
    named.write_bytes(text.encode("latin-1"))
    assert of(tmp_path, PIP_CONFIG_FILE=str(named)).index_url is None


def test_nothing_else_of_pip_and_uv_is_taken_over(tmp_path: Path) -> None:
    settings = of(
        tmp_path,
        PIP_CONFIG_FILE="/dev/null",
        PIP_FIND_LINKS="/x",
        PIP_EXTRA_INDEX_URL="https://x/",
        UV_INDEX="https://y/",
        UV_FIND_LINKS="/x",
    )
    assert settings == NetworkSettings()


@pytest.mark.parametrize(
    "name", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"]
)
def test_each_name_of_a_ca_bundle_is_honoured(tmp_path: Path, name: str) -> None:
    bundle = conf(tmp_path / "ca.pem", "")
    found = of(tmp_path, PIP_CONFIG_FILE="/dev/null", **{name: str(bundle)})
    assert found.ca_bundle == str(bundle)


def test_a_ca_bundle_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"bundle /nowhere/ca[.]pem does not exist"):
        of(tmp_path, PIP_CERT="/nowhere/ca.pem")


def test_all_that_fetches_uses_the_same_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever names there are, and whatever is behind them."""
    for place, name in enumerate(CA_VARIABLES):
        monkeypatch.setenv(name, str(conf(tmp_path / f"{place}.pem", "")))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO"):
        monkeypatch.delenv(name, raising=False)
    for place, name in enumerate(CA_VARIABLES):
        expected = str(tmp_path / f"{place}.pem")
        variables = dict(os.environ)
        assert NetworkSettings.of_machine().ca_bundle == expected
        assert environment(variables)["GIT_SSL_CAINFO"] == expected
        assert _environment(variables, tmp_path)["CARGO_HTTP_CAINFO"] == expected
        settings = NetworkSettings.of_machine()
        assert _uv_environment(variables, settings)["SSL_CERT_FILE"] == expected
        assert str(archive.ca_bundle()) == expected
        monkeypatch.delenv(name)


def test_the_bundle_of_pips_configuration_counts_for_git_too(tmp_path: Path) -> None:
    bundle = conf(tmp_path / "ca.pem", "")
    named = conf(tmp_path / "pip.conf", f"[global]\ncert = {bundle}\n")
    assert environment({"PIP_CONFIG_FILE": str(named)})["GIT_SSL_CAINFO"] == str(bundle)


def test_what_is_named_for_git_alone_wins_there(tmp_path: Path) -> None:
    bundle = conf(tmp_path / "ca.pem", "")
    found = environment({"SSL_CERT_FILE": str(bundle), "GIT_SSL_CAINFO": "/own.pem"})
    assert found["GIT_SSL_CAINFO"] == "/own.pem"


def test_a_proxy_is_handed_on_under_both_of_its_names() -> None:
    assert proxy_variables({"HTTPS_PROXY": "http://a", "no_proxy": "b", "NO_PROXY": "c"}) == {
        "https_proxy": "http://a",
        "HTTPS_PROXY": "http://a",
        "no_proxy": "b",
        "NO_PROXY": "b",
    }
