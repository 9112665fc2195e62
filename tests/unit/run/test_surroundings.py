"""What comes from the machine: secrets of the network, cores and memory."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import FetchError
from farm.run.secrets import network_secrets, proxy_script
from tests.support.projects import DEMO, demo_unit

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import Unit

PROXY = "http://user:pa$$'\"word;id@proxy.example.org:3128"


@pytest.fixture
def on_image(tmp_path: Path) -> Unit:
    return demo_unit(tmp_path / "project", DEMO.replace("plain", "fromimage"))


def test_a_bootstrapped_base_has_no_networked_step_and_gets_no_secret(tmp_path: Path) -> None:
    with network_secrets(demo_unit(tmp_path), {"HTTPS_PROXY": PROXY}) as secrets:
        assert secrets == ()


def test_secrets_are_files_for_us_alone_and_gone_afterwards(
    on_image: Unit, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificates")
    environ = {"https_proxy": PROXY, "NO_PROXY": "localhost", "SSL_CERT_FILE": str(bundle)}
    with network_secrets(on_image, environ) as secrets:
        found = dict(secrets)
        assert found["ca"] == bundle
        assert found["proxy"].parent.stat().st_mode & 0o077 == 0
        script = found["proxy"].read_text()
    assert not found["proxy"].exists()
    assert bundle.exists()
    shown = subprocess.run(
        ["sh", "-c", f'{script}printf "%s|" "$HTTPS_PROXY" "$https_proxy" "$no_proxy"'],
        capture_output=True, text=True, check=True, env={},
    )  # fmt: skip
    assert shown.stdout == f"{PROXY}|{PROXY}|localhost|"


def test_a_secret_is_gone_even_after_a_failure(on_image: Unit) -> None:
    with (  # noqa: PT012 - the failure is inside
        pytest.raises(RuntimeError),
        network_secrets(on_image, {"HTTP_PROXY": PROXY}) as secrets,
    ):
        path = dict(secrets)["proxy"]
        raise RuntimeError
    assert not path.exists()


def test_without_proxy_and_bundle_there_is_no_secret(on_image: Unit) -> None:
    with network_secrets(on_image, {}) as secrets:
        assert "proxy" not in dict(secrets)


def test_a_bundle_that_is_not_there_is_told(on_image: Unit, tmp_path: Path) -> None:
    environ = {"PIP_CERT": str(tmp_path / "nix.pem")}
    with pytest.raises(FetchError), network_secrets(on_image, environ):
        pass


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_any_proxy_is_one_word_of_the_shell(value: str) -> None:
    words = shlex.split(proxy_script({"ALL_PROXY": value}))
    assert words == ["export", f"all_proxy={value}", "export", f"ALL_PROXY={value}"]


def test_small_letters_win_over_capitals() -> None:
    script = proxy_script({"HTTP_PROXY": "http://a", "http_proxy": "http://b"})
    assert script == "export http_proxy=http://b\nexport HTTP_PROXY=http://b\n"
    assert proxy_script({"HTTP_PROXY": "", "PATH": "/bin"}) == ""
