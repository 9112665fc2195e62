from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import FetchError
from farm.host.urls import check_filename, check_url, redact
from farm.source.giturls import allowed_protocols, check_git_url, submodule_url

PASSWORDS = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=4)


@given(password=PASSWORDS.filter(lambda text: "/" not in text))
def test_a_password_is_never_shown(password: str) -> None:
    shown = redact(f"see https://user:#{password}#@host.test/file.tar and more")
    assert shown == "see https://host.test/file.tar and more"


def test_a_query_is_never_shown_since_it_may_hold_a_token() -> None:
    assert redact("https://host.test/f?token=secret#x") == "https://host.test/f?…#x"


@pytest.mark.parametrize(
    "url",
    [
        "https://host/a\nb",
        "https://host/a b",
        "https://host/\x00",
        "https:\\\\host",
        "file:///etc/passwd",
        "ftp://host/x",
        "https://",
        "https:///path",
        "-oProxyCommand=x",
        "",
        "https://user:secret/word@host:x/",
        "https://[::1/x",
    ],
)
def test_a_url_that_is_not_plain_http_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "-rf", "a b", "a\n", "a" * 300])
def test_a_file_name_cannot_lead_elsewhere(name: str) -> None:
    with pytest.raises(FetchError, match="unusable file name"):
        check_filename(name, where="test")


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("https://host/x.git", "https"),
        ("ssh://git@host/x", "ssh"),
        ("git@host:group/x.git", "ssh"),
        ("git://host/x", "git"),
        ("file:///srv/x.git", "file"),
    ],
)
def test_git_urls_of_the_accepted_protocols(url: str, protocol: str) -> None:
    assert check_git_url(url) == protocol


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/x",
        "ext::sh",
        "/srv/x.git",
        "../x",
        "--upload-pack=touch",
        "http://host/x",
        "host:-oProxyCommand=x",
        "-oProxyCommand=x:path",
        "git@host:x\ny",
        "fd::17",
    ],
)
def test_git_urls_that_could_run_or_read_something_are_refused(url: str) -> None:
    with pytest.raises(FetchError):
        check_git_url(url)


@pytest.mark.parametrize(
    ("parent", "url", "expected"),
    [
        ("https://host/group/x.git", "../y.git", "https://host/group/y.git"),
        ("https://host/group/x/", "../../other/y", "https://host/other/y"),
        ("https://host/group/x", "./sub", "https://host/group/x/sub"),
        ("git@host:group/x.git", "../y", "git@host:group/y"),
        ("ssh://git@host:22/group/x", "../y", "ssh://git@host:22/group/y"),
        ("file:///srv/x", "../y", "file:///srv/y"),
        ("https://host/x", "https://else/y", "https://else/y"),
        ("file:///srv/x", "file:///srv/y", "file:///srv/y"),
    ],
)
def test_where_a_submodule_lies(parent: str, url: str, expected: str) -> None:
    assert submodule_url(parent, url).replace(":/group", ":group") == expected.replace(
        ":/group", ":group"
    )


@pytest.mark.parametrize(
    ("parent", "url"),
    [
        ("https://host/x", "../../y"),
        ("https://host/x", "file:///etc"),
        ("https://host/x", "/etc"),
        ("https://host/x", "ext::sh -c x"),
        ("git@host:x", "../../y"),
    ],
)
def test_a_submodule_cannot_lead_to_this_machine_or_off_its_host(parent: str, url: str) -> None:
    with pytest.raises(FetchError):
        submodule_url(parent, url)


def test_local_paths_count_only_where_the_user_wants_them() -> None:
    assert "file" not in allowed_protocols("https://host/x", "https://host/x")
    assert "file" in allowed_protocols("file:///x", "file:///x")
    assert "file" in allowed_protocols("https://host/x", "/srv/mirror/x")
    assert "http" in allowed_protocols("https://host/x", "http://mirror/x")
    assert "ext" not in allowed_protocols("https://host/x", "ext::sh -c x")
