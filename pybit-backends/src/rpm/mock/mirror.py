# Fetches the farm's own repository for mock, which verifies no signature of a repository that it is given with --addrepo. Arguments: a
# directory that keeps verified packages for later builds, the directory to make, the architecture, the key, the URL and the source package.
# The index must have a good signature of the key, and every package the digest that the index says; what is for other architectures is
# left out. So is what neither the source package's requirements name nor the packages that are taken: it could only take the place of the
# distribution's. For the same reason no package obsoletes another in what mock is told. A source package that makes requirements while it
# is built (rpmlib(DynamicBuildRequires)), and one without a name here (an overlay), gets every package.
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
store, to, arch, key, url, srpm = sys.argv[1:]
REPO, COMMON = "{http://linux.duke.edu/metadata/repo}", "{http://linux.duke.edu/metadata/common}"
RPM = "{http://linux.duke.edu/metadata/rpm}"


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


def names(relation):
    """The names in a relation, which may be a rich one."""
    return set(re.findall(r"[^\s()]+(?:\([^\s()]*\))*", relation))


def wanted_by(package):
    """What a source package requires; None where only its build says that."""
    said = subprocess.run(["rpm", "-qp", "--nosignature", "--requires", package], stdout=subprocess.PIPE, text=True)
    if said.returncode:
        fail(f"the requirements of {package} cannot be read")
    lines = said.stdout.splitlines()
    if any(line.startswith("rpmlib(DynamicBuildRequires)") for line in lines):
        return None
    return set().union(*map(names, lines))


def entries(element, kind):
    return {entry.get("name") for entry in element.iterfind(f"{COMMON}format/{RPM}{kind}/{RPM}entry")}


def needed(elements, wanted):
    """The packages that are named, and those that they name."""
    kept = []
    while True:
        more = []
        for element in elements:
            files = {file.text for file in element.iterfind(f"{COMMON}format/{COMMON}file")}
            if element not in kept and wanted & (entries(element, "provides") | files):
                more.append(element)
        if not more:
            return kept
        kept += more
        for element in more:
            wanted = wanted.union(*map(names, entries(element, "requires")))


def packages(primary):
    """What mock is given: address, digest and name of each; the index is written anew with those alone."""
    with gzip.open(primary) as text:
        tree = xml.parse(text)
    root = tree.getroot()
    wanted = wanted_by(srpm) if srpm else None
    fit = [e for e in root.findall(f"{COMMON}package") if e.findtext(f"{COMMON}arch") in (arch, "noarch")]
    kept = fit if wanted is None else needed(fit, wanted)
    if srpm:
        for element in root.findall(f"{COMMON}package"):
            form = element.find(f"{COMMON}format")
            for obsoletes in form.findall(f"{RPM}obsoletes"):
                form.remove(obsoletes)
            if element not in kept:
                root.remove(element)
        root.set("packages", str(len(kept)))
        rewrite(primary, written(root, COMMON))
    for element in kept:
        href = element.find(f"{COMMON}location").get("href")
        if not re.fullmatch(r"Packages/[A-Za-z0-9_]/[A-Za-z0-9_][A-Za-z0-9+._~^-]*\.rpm", href):
            fail("the index names a package outside of itself")
        version = element.find(f"{COMMON}version")
        yield href, sha256(element, COMMON), f"{element.findtext(f'{COMMON}name')} {version.get('ver')}-{version.get('rel')}"


def written(root, space):
    """With the prefixes that createrepo_c writes, which package managers look for."""
    xml.register_namespace("", space.strip("{}"))
    xml.register_namespace("rpm", RPM.strip("{}"))
    return xml.tostring(root, encoding="UTF-8", xml_declaration=True)


def rewrite(primary, text):
    """Puts another list of packages into the index, whose signature was verified before."""
    with open(primary, "wb") as out:
        out.write(gzip.compress(text))
    path = os.path.join(to, "repodata/repomd.xml")
    tree = xml.parse(path)
    for data in tree.getroot().findall(f"{REPO}data"):
        if data.get("type").endswith("_db"):
            tree.getroot().remove(data)
        if data.get("type") != "primary":
            continue
        facts = {"checksum": digest_of(primary), "open-checksum": hashlib.sha256(text).hexdigest()}
        facts |= {"size": str(os.path.getsize(primary)), "open-size": str(len(text))}
        for name, fact in facts.items():
            if data.find(f"{REPO}{name}") is not None:
                data.find(f"{REPO}{name}").text = fact
                if name.endswith("checksum"):
                    data.find(f"{REPO}{name}").set("type", "sha256")
    with open(path, "wb") as out:
        out.write(written(tree.getroot(), REPO))


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
if not srpm:
    print(f"pybit: overlay: the newest of the distribution's and of {url} is installed", flush=True)
with tempfile.TemporaryDirectory() as place:
    for href, digest, name in packages(parts(signed_index(place))):
        put(href, digest, kept)
        print(f"pybit: from the farm, for mock to choose from: {name}, {url}", flush=True)
        count += 1
print(f"the farm's repository is here and verified: {count} packages that the build may need", flush=True)
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
