"""Write down what each wheel is made of: its SBOM, CycloneDX 1.6, as PEP 770 wants it.

Two files say that: ``pinned.json`` of the host (the package, its sources, its crates; see
farm/render/pinned.py), and what inside/parts.py saw of the build.  The wheel itself says its
version, its licences and its libraries.  The same build gives the same text: the time is
SOURCE_DATE_EPOCH, the serial number follows from the content.

Format: https://cyclonedx.org/docs/1.6/json/; names of packages:
https://github.com/package-url/purl-spec.
"""

from __future__ import annotations

import argparse
import base64
import email
import json
import os
import re
import struct
import sys
import time
import uuid
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from email.message import Message

    Component = dict[str, Any]

EXIT_UNLISTED = 74
_DAMAGED = (ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)
"""What zipfile raises for what is no zip file, or a damaged or encrypted one."""
_ELF = b"\x7fELF"
_EXPRESSION = re.compile(r"[A-Za-z0-9.+() :-]{1,200}")
_GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", re.ASCII)
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Control characters, and those that turn the direction in which a text is read.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Return a text of whoever wrote it as one that can be shown and encoded."""
    return _UNPRINTABLE.sub("�", text).encode("utf-8", "replace").decode("utf-8")


def plain_url(url: str) -> str:
    """Return a URL without what may be secret: user, password, query; empty if it is none."""
    try:
        parts = urlsplit(clean(url))
    except ValueError:
        return ""
    if not (parts.scheme and parts.netloc):
        return ""
    host = quote(parts.netloc.rpartition("@")[2], safe=":[]")
    path = _PERCENT.sub("%25", parts.path)
    return f"{parts.scheme}://{host}{quote(path, safe='/%+~:@!,;=')}"


def purl(kind: str, name: str, version: str, **qualifiers: str) -> str:
    """Return a package URL; a ``/`` in ``name`` parts a namespace from it."""
    name, version = clean(name).strip() or "unnamed", clean(version).strip()
    name = name.lower().replace("_", "-") if kind == "pypi" else name
    more = "&".join(f"{key}={quote(clean(value), safe='/:')}" for key, value in qualifiers.items())
    at = f"@{quote(version, safe='/:')}" if version else ""
    return f"pkg:{kind}/{quote(name, safe='/:')}{at}" + (f"?{more}" if more else "")


def library(reference: str, name: str, version: str) -> Component:
    """Return a component that is called by its package URL."""
    named = {"type": "library", "bom-ref": reference, "purl": reference, "name": clean(name)}
    return {**named, **({"version": clean(version)} if version else {})}


def hashes(digest: str) -> dict[str, Any]:
    """Return a sha256 as CycloneDX has it."""
    return {"hashes": [{"alg": "SHA-256", "content": digest}]}


def git_component(name: str, url: str, commit: str) -> Component:
    """Return what came from a repository; ``commit`` is empty where nobody knows it."""
    url = plain_url(url)
    github = _GITHUB.fullmatch(url)
    if github:
        reference = purl("github", github[1].lower(), commit)
    elif url:
        at = f"@{commit}" if commit else ""
        reference = purl("generic", name, commit, vcs_url=f"git+{url}{at}")
    else:  # relative to the repository around it, say
        reference = purl("generic", name, commit)
    made = library(reference, name, commit)
    if url:
        made["externalReferences"] = [{"type": "vcs", "url": url}]
    if commit:
        made["pedigree"] = {"commits": [{"uid": commit, **({"url": url} if url else {})}]}
    return made


def source_component(source: dict[str, Any]) -> Component:
    """Return one of the pinned sources; a file and a folder are called by their hash."""
    kind, _, digest = source["digest"].partition(":")
    if kind == "git":
        return git_component(source["name"], source["url"], digest.partition("+")[0])
    url = plain_url(source["url"])
    name, version = source["name"], source["version"]
    if source["kind"] == "sdist":
        made = library(purl("pypi", name, version), name, version)
    else:
        where = {"download_url": url} if url else {}
        made = library(purl("generic", name, digest, **where), name, digest)
    if kind == "sha256":
        made.update(hashes(digest))
    if url:
        made["externalReferences"] = [{"type": "distribution", "url": url}]
    return made


def changes(pinned: dict[str, Any], source: str) -> Component:
    """Return the patches and edits that a source got, by their hashes, as part of a pedigree."""
    found = [
        {"type": "unofficial", "diff": {"url": f"{quote(each['name'])}#sha256={each['sha256']}"}}
        for each in pinned["patches"]
        if each["source"] == source
    ]
    return {"patches": found} if found else {}


def crate_component(crate: dict[str, str], parts: dict[str, Any]) -> Component:
    """Return a crate; one that cargo did not compile, of another system say, is optional.

    Where cargo was told to be quiet nothing is known of that, and nothing is said.
    """
    name, version, stem = crate["name"], crate["version"], f"{crate['name']}-{crate['version']}"
    if crate["git"]:
        where = f"git+{plain_url(crate['url'])}@{crate['commit']}"
        made = library(purl("cargo", name, version, vcs_url=where), name, version)
        made["pedigree"] = {"commits": [{"uid": crate["commit"]}]}
    else:
        made = {**library(purl("cargo", name, version), name, version), **hashes(crate["sha256"])}
    licences = licensed(parts["crate_licences"].get(stem, ""))
    if licences:
        made["licenses"] = licences
    if parts["compiled"] and stem not in parts["compiled"]:
        made["scope"] = "optional"
    return made


def static_component(package: dict[str, Any]) -> Component:
    """Return a package of which a static library was linked."""
    name = f"debian/{package['name']}" if package["kind"] == "deb" else package["name"]
    reference = purl(package["kind"], name, package["version"])
    files = [
        {"type": "file", "name": clean(file["name"]), **hashes(file["sha256"])}
        for file in package["files"]
    ]
    return {**library(reference, package["name"], package["version"]), "components": files}


def licensed(text: str) -> list[dict[str, Any]]:
    """Return a licence as CycloneDX has it: an SPDX expression, or else a name."""
    said = clean(text.strip().partition("\n")[0])[:200]
    if not said:
        return []
    return [{"expression": said} if _EXPRESSION.fullmatch(said) else {"license": {"name": said}}]


def noted(**notes: Iterable[str]) -> list[dict[str, str]]:
    """Return properties with names of farm's own."""
    return [
        {"name": f"farm:{name.replace('_', '-')}", "value": clean(value)}
        for name, values in notes.items()
        for value in values
    ]


class Wheel:
    """What a wheel says of itself.

    Raises:
        ValueError: It is none: no METADATA and RECORD of one package.
    """

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as source:
            tops = {name.split("/", 1)[0] for name in source.namelist()}  # others are vendored
            folders = {top for top in tops if top.endswith(".dist-info")}
            if len(folders) != 1:
                raise ValueError("it has not one .dist-info")
            (folder,) = folders
            try:
                metadata = source.read(f"{folder}/METADATA")
                self.rows = source.read(f"{folder}/RECORD").decode("utf-8", "replace")
            except KeyError as error:
                raise ValueError(str(error)) from error
            self.metadata: Message = email.message_from_bytes(metadata)
            self.libraries = sorted({i.filename for i in source.infolist() if is_elf(source, i)})

    def field(self, name: str) -> list[str]:
        """Return all values of a field of METADATA."""
        return [str(value).strip() for value in self.metadata.get_all(name, [])]

    @property
    def licences(self) -> list[dict[str, Any]]:
        """What METADATA says: the expression of PEP 639, else the older fields."""
        classified = [
            value.rpartition(" :: ")[2]
            for value in self.field("Classifier")
            if value.startswith("License ::")
        ]
        said = [*self.field("License-Expression"), *self.field("License"), *classified]
        return licensed(said[0]) if said else []

    def files(self) -> Iterator[Component]:
        """Yield the libraries and programs in it, with the hash that RECORD has of them."""
        rows = (line.rsplit(",", 2) for line in self.rows.splitlines())
        listed = {row[0].strip('"'): row[1] for row in rows if len(row) == 3}  # noqa: PLR2004 - path, hash, size
        for name in self.libraries:
            known = re.fullmatch(r"sha256=([\w-]{43})", listed.get(name, ""), re.ASCII)
            file = {"type": "file", "bom-ref": f"file:{quote(clean(name))}", "name": clean(name)}
            digest = base64.urlsafe_b64decode(f"{known[1]}=").hex() if known else ""
            yield {**file, **(hashes(digest) if digest else {})}


def is_elf(source: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Return whether a member is a library or a program."""
    with source.open(info) as data:
        return data.read(len(_ELF)) == _ELF


def package_component(pinned: dict[str, Any], wheel: Wheel) -> Component:
    """Return the package itself: as METADATA calls it, from its source with patches and edits."""
    name = pinned["package"]
    version = next(iter(wheel.field("Version")), pinned["version"])
    reference = purl("pypi", name, version)
    # The purl of a release is that of its sdist: the one is the other's ancestor.
    source = {**source_component(pinned["source"]), "bom-ref": "source"}
    return {
        **library(reference, name, version),
        "pedigree": {"ancestors": [source], **changes(pinned, name)},
        "licenses": wheel.licences,
        "components": list(wheel.files()),
        "properties": noted(licence_file=wheel.field("License-File")),
    }


def others(pinned: dict[str, Any], parts: dict[str, Any]) -> Iterator[Component]:
    """Yield everything else that may be in the wheel."""
    files = parts["licence_files"]
    for source in pinned["sources"]:
        path = f"sources/{source['name']}"
        notes = noted(path=[path], licence_file=files.get(path, ()))
        made = {**source_component(source), "properties": notes}
        pedigree = {**made.get("pedigree", {}), **changes(pinned, source["name"])}
        yield {**made, **({"pedigree": pedigree} if pedigree else {})}
    for each in parts["submodules"]:
        made = git_component(each["path"].rpartition("/")[2], each["url"], each["commit"])
        notes = noted(path=[each["path"]], licence_file=files.get(each["path"], ()))
        yield {**made, "properties": notes}
    for crate in pinned["crates"]:
        yield crate_component(crate, parts)
    yield from map(static_component, parts["static"])


def document(pinned: dict[str, Any], parts: dict[str, Any], wheel: Wheel) -> str:
    """Return the text for one wheel."""
    package = {k: v for k, v in package_component(pinned, wheel).items() if v}
    found: dict[str, Component] = {}
    for each in others(pinned, parts):
        found.setdefault(each["bom-ref"], each)  # a submodule may lie in two places
    names = sorted(found.keys() - {package["bom-ref"]})
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    made: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "lifecycles": [{"phase": "build"}],
            # Without its version: a newer farm that writes the same must give the same wheel.
            "tools": {"components": [{"type": "application", "name": "farm"}]},
            "component": package,
        },
        "components": [found[name] for name in names],
        "dependencies": [
            {"ref": package["bom-ref"], "dependsOn": names},
            *({"ref": name} for name in names),
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(made, sort_keys=True))
    made["serialNumber"] = f"urn:uuid:{serial}"
    return json.dumps(made, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write ``<wheel>.cdx.json`` beside every wheel; return 0, or 74 and say why not."""
    parser = argparse.ArgumentParser(prog="sbom", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the wheels are")
    parser.add_argument("--pinned", type=Path, required=True)
    parser.add_argument("--parts", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        pinned = json.loads(options.pinned.read_text(encoding="utf-8"))
        parts = json.loads(options.parts.read_text(encoding="utf-8"))
        for path in sorted(options.folder.glob("*.whl")):
            try:
                wheel = Wheel(path)
            except _DAMAGED as error:
                print(f"farm: sbom: {path.name} gets none: {error}", flush=True)
                continue
            text = document(pinned, parts, wheel)
            path.with_name(f"{path.name}.cdx.json").write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"farm: error: sbom: {error}", file=sys.stderr, flush=True)
        return EXIT_UNLISTED
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
