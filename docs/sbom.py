"""Makes sbom.cdx.json (CycloneDX): what is installed and what browsers load, from the lock files. Part of `make lock`.

The file is the same wherever and whenever it is made. The hashes of Python's packages stand in the locks: there are
several of each, one for each kind of machine.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent
MADE = ROOT / "sbom.cdx.json"
LOCKS = {  # those of tests and tools are no part of an installation; of a package in two of them, the first counts
    "requirements.lock": ComponentScope.REQUIRED,
    "requirements-kafka.lock": ComponentScope.OPTIONAL,
    "requirements-parquet.lock": ComponentScope.OPTIONAL,
    "requirements-otel.lock": ComponentScope.OPTIONAL,
    "requirements-rabbitmq.lock": ComponentScope.OPTIONAL,
    "requirements-sqs.lock": ComponentScope.OPTIONAL,
}


def text() -> str:
    parts = list({part.bom_ref.value: part for part in reversed([*_of_python(), *_of_browsers()])}.values())
    bom = Bom(components=parts)
    bom.metadata.component = whole = Component(name="notifier", type=ComponentType.APPLICATION, bom_ref="notifier")
    bom.register_dependency(whole, parts)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]
    return json.dumps(document, indent=1) + "\n"


def _of_python() -> Iterator[Component]:
    for lock, scope in LOCKS.items():
        for name, version in re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", (ROOT / lock).read_text(), re.MULTILINE):
            yield _component("pypi", None, name, version, scope, ())


def _of_browsers() -> Iterator[Component]:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    for place, package in packages.items():
        if place and not package.get("dev") and not package.get("optional"):
            namespace, _, name = place.rpartition("node_modules/")[2].rpartition("/")
            algorithm, _, digest = package["integrity"].partition("-")
            assert algorithm == "sha512"
            hashes = [HashType(alg=HashAlgorithm.SHA_512, content=base64.b64decode(digest).hex())]
            yield _component("npm", namespace or None, name, package["version"], ComponentScope.REQUIRED, hashes)


def _component(
    kind: str, group: str | None, name: str, version: str, scope: ComponentScope, hashes: Iterable[HashType]
) -> Component:
    purl = PackageURL(kind, group, name, version)
    return Component(
        group=group,
        name=name,
        version=version,
        purl=purl,
        bom_ref=str(purl),
        scope=scope,
        hashes=hashes,
        type=ComponentType.LIBRARY,
    )


if __name__ == "__main__":
    MADE.write_text(text())
