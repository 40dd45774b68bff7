# Writes what the one ./*.tar.gz says of itself to ./NAME-VERSION.sdist-info. The argument is the directory with the wheel that was built
# from it: that says whether one wheel is for every machine, which no sdist does.
import hashlib
import os
import sys
import tarfile
import zipfile
from email.parser import BytesParser

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

LARGEST = 16 << 20


def fail(why):
    sys.exit(f"error: {why}")


def one(directory, ending):
    found = [n for n in os.listdir(directory) if n.endswith(ending) and not os.path.islink(os.path.join(directory, n))]
    if len(found) != 1:
        fail(f"there must be exactly one {ending}, and there are {len(found)}")
    return os.path.join(directory, found[0])


def headers(body):
    return BytesParser().parsebytes(body, headersonly=True)


def of_sdist(path):
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            parts = member.name.split("/")
            if len(parts) == 2 and parts[1] == "PKG-INFO" and member.isreg() and member.size <= LARGEST:
                return headers(archive.extractfile(member).read())
    fail("the sdist says nothing of itself: it holds no PKG-INFO")


def of_wheel(path):
    with zipfile.ZipFile(path) as archive:
        read = {}
        for info in archive.infolist():
            parts = info.filename.split("/")
            if len(parts) == 2 and parts[0].endswith(".dist-info") and parts[1] in ("METADATA", "WHEEL") and info.file_size <= LARGEST:
                read[parts[1]] = headers(archive.read(info))
    if len(read) != 2:
        fail("the wheel does not say what it is")
    return read["METADATA"], read["WHEEL"]


def identity(said):
    try:
        return canonicalize_name(said["Name"] or ""), str(Version(said["Version"] or ""))
    except InvalidVersion as error:
        fail(f"the version is not one of PEP 440: {error}")


sdist = one(".", ".tar.gz")
said = of_sdist(sdist)
metadata, wheel = of_wheel(one(sys.argv[1], ".whl"))
name, version = identity(said)
if identity(metadata) != (name, version):
    fail(f"the sdist is of {name} {version}, and the wheel that it makes of {' '.join(identity(metadata))}")
pure = wheel.get("Root-Is-Purelib", "").strip().lower() == "true"
pure = pure and all(tag.strip().endswith("-none-any") for tag in wheel.get_all("Tag") or ["?"])
lines = [f"Source: {name}", f"Version: {version}", f"Architecture: {'all' if pure else 'any'}"]
try:
    # What no reader understands says nothing, as for pip.
    python = str(SpecifierSet(said.get("Requires-Python") or ""))
except InvalidSpecifier:
    python = ""
if python:
    lines.append(f"Requires-Python: {python}")
with open(sdist, "rb") as file:
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
file = os.path.basename(sdist)
lines += ["Checksums-Sha256:", f" {digest.hexdigest()} {os.path.getsize(sdist)} {file}"]
with open(file[: -len(".tar.gz")] + ".sdist-info", "x", encoding="utf-8") as out:
    out.writelines(f"{line}\n" for line in lines)
