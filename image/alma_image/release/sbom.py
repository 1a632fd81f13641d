"""The software bill of materials, in CycloneDX 1.6 (JSON)."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from alma_image.release.lock import Package
from alma_runtime.models_lock import LockedModel

NAMESPACE = uuid.UUID("5b0d2c3e-6a5c-4a39-9d7e-a1a3c0f3a11a")


def installed_wheels(layers: Sequence[Path]) -> dict[str, str]:
    """Version by name of every Python distribution in some layers."""
    found = {}
    for layer in layers:
        for folder in sorted(layer.rglob("*.dist-info")):
            name, version = folder.name.removesuffix(".dist-info").split("-", 1)
            found[name] = version
    return found


def sbom(
    version: str,
    epoch: int,
    packages: Sequence[Package],
    wheels: Mapping[str, str],
    models: Sequence[LockedModel],
) -> str:
    """The document, the same for the same content."""
    components = [_package(p) for p in packages]
    components += [
        Component(
            name=name, version=wheel, type=ComponentType.LIBRARY, bom_ref=f"wheel:{name}",
            purl=PackageURL("pypi", None, name.lower().replace("_", "-"), wheel),
        )
        for name, wheel in wheels.items()
    ]  # fmt: skip
    components += [
        Component(
            name=m.id, version=m.sha256[:12], type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=f"model:{m.id}", hashes=[HashType(alg=HashAlgorithm.SHA_256, content=m.sha256)],
        )
        for m in models
    ]  # fmt: skip
    itself = Component(
        name="ALMA", version=version, type=ComponentType.OPERATING_SYSTEM, bom_ref="alma"
    )
    bom = Bom(
        components=components,
        metadata=BomMetaData(
            component=itself, timestamp=datetime.datetime.fromtimestamp(epoch, datetime.UTC)
        ),
        serial_number=uuid.uuid5(
            NAMESPACE, "\n".join(str(c.bom_ref) + str(c.version) for c in components)
        ),
    )
    bom.register_dependency(itself, components)
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _package(package: Package) -> Component:
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"deb:{package.name}:{package.architecture}",
        purl=PackageURL(
            "deb", "debian", package.name, package.version, {"arch": package.architecture}
        ),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=package.sha256)],
    )
