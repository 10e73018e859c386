#!/usr/bin/env python3
"""Which software the shipped binary is made of, as a CycloneDX 1.5 document.

`make sbom` runs it. cargo-cyclonedx asks cargo what the package `spinwell-cli` may be built of for TARGET (x86_64-unknown-linux-gnu). It
takes optional dependencies that no feature switches on for built; those that `cargo tree` does not know are taken out again. Crates
that only tests need are not in it; those that only run while it is built have the scope `excluded`.

The document is checked against the schema of CycloneDX, and each licence against the list of SPDX, before it gets its name. What it says of
licences are names; their texts lie in the packages, so those are looked for there.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE, VERSION = "spinwell-cli", "1.5"
TEXT = re.compile(r"(un)?licen[cs]e|copying|copyright|notice", re.IGNORECASE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/sbom/spinwell.cdx.json")
    parser.add_argument("--target", default=os.environ.get("TARGET", "x86_64-unknown-linux-gnu"))
    args = parser.parse_args()
    packages = json.loads(cargo("metadata", "--format-version", "1", "--locked", "--filter-platform", args.target))["packages"]
    folders = {(package["name"], package["version"]): pathlib.Path(package["manifest_path"]).parent for package in packages}
    document, left_out = built(json.loads(made(folders, args.target)), args.target)
    text = json.dumps(document, indent=2) + "\n"
    wrong = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    if wrong:
        sys.exit(f"make sbom: not a CycloneDX {VERSION} document: {wrong}")
    components = document["components"]
    spdx = get_spdx_licensing()
    licences = {named(component): licence_of(component) for component in components}
    unknown = [name for name, licence in licences.items() if licence is None or spdx.validate(licence).errors]
    if unknown:
        sys.exit(f"make sbom: without a licence that SPDX knows: {', '.join(unknown)}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    new = args.out.with_suffix(".new")
    new.write_text(text)
    new.rename(args.out)
    only_built = sum(component["scope"] == "excluded" for component in components)
    without = [named(component) for component in components if not has_text(folders, component)]
    print(f"{os.path.relpath(args.out, ROOT)}: CycloneDX {VERSION}, valid; {PACKAGE} for {args.target}")
    print(f"{len(components)} components, {only_built} of them only while it is built; {len(set(licences.values()))} licence expressions")
    print(f"{len(left_out)} left out that no feature switches on: {', '.join(left_out) or 'none'}")
    print(f"{len(without)} name a licence and carry no text of it: {', '.join(without) or 'none'}")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def made(folders, target):
    """What cargo-cyclonedx writes. It writes beside every manifest of the workspace, so all of it is taken away again."""
    name = "spinwell-sbom-of-make"
    written = [folder / f"{name}.json" for folder in folders.values() if folder.is_relative_to(ROOT)]
    try:
        cargo("cyclonedx", "--format", "json", "--spec-version", VERSION, "--target", target, "--override-filename", name, "--quiet")
        text = (ROOT / "crates/cli" / f"{name}.json").read_text()
    finally:
        for path in written:
            path.unlink(missing_ok=True)
    # Where it was made is nobody's business, and would make two documents of one commit differ.
    return text.replace(f"path+file://{ROOT}", "path+file://.")


def built(document, target):
    """The document without what is not built, and what that was."""
    tree = cargo("tree", "--locked", "--package", PACKAGE, "--edges", "normal,build", "--target", target, "--prefix", "none", "--format", "{p}")
    there = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    is_built = lambda component: (component["name"], f"v{component['version']}") in there
    left_out = [component for component in document["components"] if not is_built(component)]
    gone = {component["bom-ref"] for component in left_out}
    document["components"] = [component for component in document["components"] if is_built(component)]
    places = [place for place in document["dependencies"] if place["ref"] not in gone]
    for place in places:
        if "dependsOn" in place:
            place["dependsOn"] = [ref for ref in place["dependsOn"] if ref not in gone]
    document["dependencies"] = places
    return document, [named(component) for component in left_out]


def named(component):
    return f"{component['name']} {component['version']}"


def licence_of(component):
    licences = component.get("licenses", [])
    return licences[0].get("expression") if licences else None


def has_text(folders, component):
    folder = folders.get((component["name"], component["version"]))
    if folder is None:
        sys.exit(f"make sbom: {named(component)} is not among cargo's packages")
    # Our own are under the licence of the repository.
    places = [folder, ROOT] if folder.is_relative_to(ROOT) else [folder]
    return any(TEXT.match(path.name) for place in places for path in place.iterdir())


if __name__ == "__main__":
    main()
