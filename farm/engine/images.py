"""Images that an engine has: bases are loaded into it by their content."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from farm.engine import daemon_api
from farm.engine.endpoint import ANSWER_S
from farm.engine.storage import folder_of, no_space
from farm.errors import BaseError, EngineError, FarmError
from farm.host.files import says_full
from farm.host.programs import last_lines

if TYPE_CHECKING:
    from farm.debian.bases import BaseImage
    from farm.engine.endpoint import Endpoint
    from farm.host.programs import Cancel

_LOAD_TIMEOUT_S = 1800.0
"""A base has up to some gigabytes, and the disk may be busy."""


def load(base: BaseImage, endpoint: Endpoint, *, cancel: Cancel | None = None) -> None:
    """Load a base unless it is there; see `farm.engine.engine.Engine.load`."""
    ids = {base.image_id, base.manifest_digest}
    if _image_id(base.tag, endpoint) in ids:
        return
    command = ("load", "--quiet", "--input", str(base.archive))
    done = endpoint.ask(*command, cancel=cancel, timeout_s=_LOAD_TIMEOUT_S)
    if done.status:
        raise _load_failure(base, endpoint, done.complaint)
    if _image_id(base.tag, endpoint) in ids:
        return
    # containerd's store loads the image without its name.
    for image in (base.manifest_digest, base.image_id):
        if endpoint.ask("tag", image, base.tag).status == 0:
            return
    raise BaseError(
        f"the engine {endpoint.name} loaded {base.archive} but does not know {base.tag}",
        hint="use another engine (farm engine up)",
    )


def _load_failure(base: BaseImage, endpoint: Endpoint, text: str) -> FarmError:
    lines = last_lines(text, 5)
    if says_full(text):
        what = f"{base.tag} does not fit"
        return no_space(endpoint.name, folder_of(endpoint), what=what, details=lines)
    if "cannot connect" in text.lower() or "connection refused" in text.lower():
        return EngineError(
            f"the engine {endpoint.name} cannot be reached",
            hint="see farm doctor",
            details=lines,
        )
    return BaseError(
        f"the engine {endpoint.name} cannot load {base.archive}",
        hint="delete that file's folder to bootstrap the base anew",
        details=lines,
    )


def _image_id(tag: str, endpoint: Endpoint) -> str | None:
    """What the engine knows by a tag; its socket is asked where it is here, else its client."""
    if endpoint.is_here:
        resource = f"/images/{quote(tag)}/json"
        try:
            return str(daemon_api.get_json(endpoint.socket, resource, timeout_s=ANSWER_S)["Id"])
        except (OSError, LookupError):
            return None
    done = endpoint.ask("image", "inspect", "--format", "{{.Id}}", tag)
    return done.text.strip() if done.status == 0 else None
