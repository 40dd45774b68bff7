# Writes what the one ./*.whl says of itself to ./NAME-VERSION.ARCH.wheels-info. The argument is the architecture of the job: "all" takes a
# wheel for every machine, and every other one a wheel for that machine, as the source build has found the project to be of.
import hashlib
import os
import sys
import zipfile
from email.parser import BytesParser

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

LARGEST = 16 << 20


def fail(why):
    sys.exit(f"error: {why}")


arch = sys.argv[1]
found = [n for n in os.listdir(".") if n.endswith(".whl") and not os.path.islink(n)]
if len(found) != 1:
    fail(f"the build must make one wheel, and has made {len(found)}")
file, read = found[0], {}
try:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            parts = info.filename.split("/")
            if len(parts) == 2 and parts[0].endswith(".dist-info") and parts[1] in ("METADATA", "WHEEL") and info.file_size <= LARGEST:
                read[parts[1]] = BytesParser().parsebytes(archive.read(info), headersonly=True)
except zipfile.BadZipFile as error:
    fail(f"{file} is no wheel: {error}")
if len(read) != 2:
    fail(f"{file} does not say what it is")
said, wheel = read["METADATA"], read["WHEEL"]
pure = wheel.get("Root-Is-Purelib", "").strip().lower() == "true"
pure = pure and all(tag.strip().endswith("-none-any") for tag in wheel.get_all("Tag") or ["?"])
if pure and arch != "all":
    fail(f"{file} is for every machine, though the source build made one for its own: something that it needs is missing here")
if not pure and arch == "all":
    fail(f"{file} is for this machine alone, though the source build made one for every machine: something was missing there")
try:
    name, version = canonicalize_name(said["Name"] or ""), str(Version(said["Version"] or ""))
    python = str(SpecifierSet(said.get("Requires-Python") or ""))
except InvalidVersion as error:
    fail(f"the version is not one of PEP 440: {error}")
except InvalidSpecifier:
    python = ""
with open(file, "rb") as body:
    digest = hashlib.sha256()
    while part := body.read(1 << 20):
        digest.update(part)
with open(f"{name.replace('-', '_')}-{version}.{arch}.wheels-info", "x", encoding="utf-8") as out:
    out.write(f"Source: {name}\nVersion: {version}\nArchitecture: {arch}\n")
    if python:
        out.write(f"Requires-Python: {python}\n")
    out.write(f"Checksums-Sha256:\n {digest.hexdigest()} {os.path.getsize(file)} {file}\n")
