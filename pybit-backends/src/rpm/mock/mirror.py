# Fetches the farm's own repository for mock, which verifies no signature of a repository that it is given with --addrepo. Arguments: a
# directory that keeps verified packages for later builds, the directory to make, the architecture, the key and the URL. The index must have
# a good signature of the key, and every package the digest that the index says; what is for other architectures is left out.
import base64
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as xml

LARGEST_INDEX, LARGEST_PACKAGE, OLD = 1 << 30, 16 << 30, 7 * 86400
store, to, arch, key, url = sys.argv[1:]
REPO, COMMON = "{http://linux.duke.edu/metadata/repo}", "{http://linux.duke.edu/metadata/common}"


def fail(why):
    sys.exit(f"error: {why}")


def fetch(name, file, most):
    """Writes what the repository has of that name; its digest."""
    digest, size = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/{name}", timeout=60) as answer, open(file, "wb") as out:
            for part in iter(lambda: answer.read(1 << 20), b""):
                size += len(part)
                if size > most:
                    fail(f"{name} is too large")
                digest.update(part)
                out.write(part)
    except (urllib.error.URLError, OSError) as error:
        fail(f"the farm's repository cannot be read: {url}: {name}: {error}")
    return digest.hexdigest()


def digest_of(file):
    digest = hashlib.sha256()
    with open(file, "rb") as bytes_:
        for part in iter(lambda: bytes_.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def keyring(file):
    # gpgv of Debian 12 reads no armour (RFC 9580, 6).
    with open(key, encoding="ascii") as text:
        body = text.read().split("-----BEGIN PGP PUBLIC KEY BLOCK-----")[1].split("-----END")[0].split("\n\n", 1)[1]
    with open(file, "wb") as out:
        out.write(base64.b64decode("".join(line for line in body.split() if not line.startswith("="))))


def signed_index(place):
    """The index's own index, with a good signature. A publication between the two files is waited out."""
    repomd, signature, ring = (os.path.join(place, name) for name in ("repomd.xml", "repomd.xml.asc", "ring.gpg"))
    keyring(ring)
    for attempt in range(3):
        time.sleep(attempt)
        fetch("repodata/repomd.xml", repomd, 1 << 24)
        fetch("repodata/repomd.xml.asc", signature, 1 << 16)
        if subprocess.run(["gpgv", "--quiet", "--keyring", ring, signature, repomd]).returncode == 0:
            return repomd
    fail(f"the index of {url} has no good signature of the farm's key")


def sha256(element, space):
    checksum = element.find(f"{space}checksum")
    if checksum is None or checksum.get("type") != "sha256" or not re.fullmatch(r"[0-9a-f]{64}", checksum.text or ""):
        fail("the index names a file without its SHA-256")
    return checksum.text


def parts(repomd):
    """Fetches every file that the index consists of; the one that lists the packages."""
    os.mkdir(os.path.join(to, "repodata"), 0o755)
    primary = None
    for data in xml.parse(repomd).getroot().findall(f"{REPO}data"):
        href = data.find(f"{REPO}location").get("href")
        if not re.fullmatch(r"repodata/[A-Za-z0-9][A-Za-z0-9._-]*", href):
            fail("the index names a file outside of itself")
        if fetch(href, os.path.join(to, href), LARGEST_INDEX) != sha256(data, REPO):
            fail(f"{href} is not what the index says")
        primary = os.path.join(to, href) if data.get("type") == "primary" else primary
    if primary is None or not primary.endswith(".gz"):
        fail("the index has no list of packages that can be read")
    shutil.copyfile(repomd, os.path.join(to, "repodata/repomd.xml"))
    return primary


def packages(primary):
    with gzip.open(primary) as text:
        for _, element in xml.iterparse(text):
            if element.tag == f"{COMMON}package":
                href = element.find(f"{COMMON}location").get("href")
                if element.findtext(f"{COMMON}arch") in (arch, "noarch"):
                    if not re.fullmatch(r"Packages/[A-Za-z0-9_]/[A-Za-z0-9_][A-Za-z0-9+._~^-]*\.rpm", href):
                        fail("the index names a package outside of itself")
                    yield href, sha256(element, COMMON)
                element.clear()


def put(href, digest, kept):
    """Puts a package in its place, from those that are kept where it is there and still what it was."""
    place, known = os.path.join(to, href), os.path.join(kept, digest)
    os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    try:
        if digest_of(known) == digest:
            os.link(known, place)
            os.utime(known)
            return
    except OSError:
        pass
    new = tempfile.mkdtemp(dir=kept, prefix="new-")
    try:
        fetched = os.path.join(new, "package")
        if fetch(href, fetched, LARGEST_PACKAGE) != digest:
            fail(f"{href} is not what the index says")
        os.chmod(fetched, 0o644)
        os.replace(fetched, known)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    print(f"fetched {href}", flush=True)
    try:
        os.link(known, place)
    except OSError:
        shutil.copyfile(known, place)


kept = os.path.join(store, hashlib.sha256(url.encode()).hexdigest()[:16])
os.makedirs(kept, mode=0o755, exist_ok=True)
os.mkdir(to, 0o755)
count = 0
with tempfile.TemporaryDirectory() as place:
    for href, digest in packages(parts(signed_index(place))):
        put(href, digest, kept)
        count += 1
print(f"the farm's repository is here and verified: {count} packages", flush=True)
# A build that uses a package has a name of its own for it. What a killed fetch has left goes the same way, and what is of other
# addresses.
for directory, _, names in os.walk(store):
    for name in names:
        try:
            if time.time() - os.stat(os.path.join(directory, name)).st_mtime > OLD:
                os.unlink(os.path.join(directory, name))
        except FileNotFoundError:
            # Another build was quicker.
            pass
