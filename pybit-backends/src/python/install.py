# Installs what of ./requires.list the farm's own indices have, and what that requires of them. Arguments: the directory to install into,
# and for each index its key and its URL. Every wheel must have the digest that the index says and a good signature of that key. No code
# of a wheel is run; what it requires and no index has, the environment has or has not. A requirement that the environment satisfies is not
# looked for. A wheel whose modules or programs would be found before those of Python itself, of the environment's distributions or of
# the machine is refused, unless it is a version of that distribution which a requirement asks for.
import base64
import hashlib
import html.parser
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from email.parser import BytesParser

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion

LARGEST_PAGE, LARGEST_WHEEL, MOST = 16 << 20, 4 << 30, 500
to, *words = sys.argv[1:]
indices = list(zip(words[::2], words[1::2]))
here = f"{sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]}"
rank = {tag: n for n, tag in enumerate(sys_tags())}


def fail(why):
    sys.exit(f"error: {why}")


def fetch(url, most, file=None):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            if file is None:
                body = answer.read(most + 1)
                return body if len(body) <= most else fail(f"{url} is too large")
            with open(file, "wb") as out:
                digest, size = hashlib.sha256(), 0
                while part := answer.read(1 << 20):
                    size += len(part)
                    if size > most:
                        fail(f"{url} is too large")
                    digest.update(part)
                    out.write(part)
            return digest.hexdigest()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        fail(f"the farm's index cannot be read: {url}: {error}")
    except (urllib.error.URLError, OSError) as error:
        if isinstance(getattr(error, "reason", error), FileNotFoundError):
            return None
        fail(f"the farm's index cannot be read: {url}: {error}")


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "a" and attrs.get("href"):
            self.found.append((attrs["href"], attrs.get("data-requires-python") or ""))


def candidates(url, requirement):
    page_url = f"{url.rstrip('/')}/simple/{canonicalize_name(requirement.name)}/index.html"
    page = fetch(page_url, LARGEST_PAGE)
    links = Links()
    links.feed((page or b"").decode("utf-8", "replace"))
    for href, python in links.found:
        plain, fragment = urllib.parse.urldefrag(urllib.parse.urljoin(page_url, href))
        name = urllib.parse.unquote(plain.rsplit("/", 1)[-1])
        digest = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment)
        if not digest or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*\.whl", name):
            continue
        try:
            project, version, build, tags = parse_wheel_filename(name)
            fits = SpecifierSet(python).contains(here, prereleases=True)
        except (InvalidWheelFilename, InvalidVersion, InvalidSpecifier):
            continue
        ranks = [rank[tag] for tag in tags if tag in rank]
        if fits and ranks and project == canonicalize_name(requirement.name):
            yield version, -min(ranks), build, name, plain, digest[1]


def best(requirement):
    for key, url in indices:
        found = list(candidates(url, requirement))
        versions = set(requirement.specifier.filter({c[0] for c in found}))
        found = [c for c in found if c[0] in versions]
        if found:
            return key, max(found)[3:]
    return None


def keyring(armoured, file):
    # gpgv of Debian 12 reads no armour (RFC 9580, 6).
    with open(armoured, encoding="ascii") as text:
        body = text.read().split("-----BEGIN PGP PUBLIC KEY BLOCK-----")[1].split("-----END")[0].split("\n\n", 1)[1]
    with open(file, "wb") as out:
        out.write(base64.b64decode("".join(line for line in body.split() if not line.startswith("="))))


def verified(key, name, url, digest, place):
    file, signature, ring = (os.path.join(place, name + end) for end in ("", ".asc", ".ring"))
    if fetch(url, LARGEST_WHEEL, file) != digest:
        fail(f"{name} is not what the farm's index says")
    if fetch(url + ".asc", 1 << 16, signature) is None:
        fail(f"{name} is not signed")
    keyring(key, ring)
    if subprocess.run(["gpgv", "--quiet", "--keyring", ring, signature, file]).returncode:
        fail(f"{name} has no good signature of the farm's key")
    return file


def required(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)]
        if len(names) != 1 or archive.getinfo(names[0]).file_size > LARGEST_PAGE:
            fail(f"{os.path.basename(wheel)} does not say what it is")
        return BytesParser().parsebytes(archive.read(names[0]), headersonly=True).get_all("Requires-Dist") or []


def wanted_of(lines):
    for line in lines:
        try:
            read = Requirement(line)
        except InvalidRequirement:
            continue
        if read.url or (read.marker and not read.marker.evaluate({"extra": ""})):
            continue
        try:
            if read.specifier.contains(importlib.metadata.version(read.name), prereleases=True):
                continue
        except importlib.metadata.PackageNotFoundError:
            pass
        yield read


def versions_there(name):
    """The environment's version of a project; None where it has none."""
    try:
        return importlib.metadata.distribution(name).version
    except importlib.metadata.PackageNotFoundError:
        return None


def refuse(wheel, why):
    print(f"pybit: refused: the farm's {wheel} {why}", flush=True)
    fail("nothing of the farm takes the place of the environment's modules and programs")


def is_package(path):
    return os.path.isfile(os.path.join(path, "__init__.py"))


def own_modules(project):
    """The modules of the project's version that the environment has already: a newer one may take their place."""
    if versions_there(project) is None:
        return set()
    named = {m for m, projects in environment.items() if project in map(canonicalize_name, projects)}
    return named | {project.replace("-", "_")}


def judge_modules(wheel, staged, theirs, own, prefix=""):
    """Refuses a module that is found before one of the environment. Both may hold parts of one namespace package."""
    for item in sorted(os.listdir(staged)):
        module, path = item.split(".")[0], os.path.join(staged, item)
        if item.endswith((".dist-info", ".egg-info", ".pth")) or not prefix and item == "bin" and os.path.isdir(path):
            continue
        if not prefix and (module in sys.stdlib_module_names or module in ("sitecustomize", "usercustomize")):
            refuse(wheel, f"holds the module {module}, which Python has itself")
        if not prefix and module in own:
            continue
        for place in theirs:
            taken = [n for n in (os.listdir(place) if os.path.isdir(place) else ()) if n.split(".")[0] == module and "-" not in n]
            for name in taken:
                there = os.path.join(place, name)
                if os.path.isdir(path) and os.path.isdir(there) and not is_package(path) and not is_package(there):
                    judge_modules(wheel, path, [there], own, f"{prefix}{module}.")
                elif os.path.isdir(there) or name.endswith((".py", ".so", ".pyc")):
                    owner = ", ".join(environment.get(module, [])) or "the environment"
                    refuse(wheel, f"holds the module {prefix}{module}, which {owner} has in {there}")


def judge(wheel, project, staged):
    judge_modules(wheel, staged, system, own_modules(project))
    programs = os.path.join(staged, "bin")
    own = set()
    if versions_there(project) is not None:
        points = importlib.metadata.distribution(project).entry_points
        own = {point.name for point in points if point.group in ("console_scripts", "gui_scripts")}
    for program in sorted(os.listdir(programs)) if os.path.isdir(programs) else ():
        there = shutil.which(program, path=elsewhere)
        if there and program not in own:
            refuse(wheel, f"holds the program {program}, which the environment has as {there}")


def pip_install(target, *wheels):
    pip = [sys.executable, "-I", "-m", "pip", "--isolated", "--disable-pip-version-check", "--quiet", "install"]
    options = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--upgrade", "--target", target]
    if subprocess.run([*pip, *options, *wheels]).returncode:
        fail("the farm's own wheels cannot be installed")


with open("requires.list", encoding="utf-8") as lines:
    lines = lines.read(1 << 20).splitlines()
# What the environment has without what an earlier run of this has put there.
system = [p for p in sys.path if os.path.isdir(p)]
environment = importlib.metadata.packages_distributions()
elsewhere = ":".join(p for p in os.environ.get("PATH", "").split(":") if p and p != os.path.join(to, "bin"))
sys.path.insert(0, to)
wanted, asked, files = list(wanted_of(lines)), set(), {}
with tempfile.TemporaryDirectory() as place:
    while wanted and len(asked) < MOST:
        requirement = wanted.pop()
        if str(requirement) in asked:
            continue
        asked.add(str(requirement))
        found = best(requirement)
        if found is None:
            continue
        key, (name, url, digest) = found
        file = os.path.join(place, name)
        if file in files:
            continue
        print(f"installing {name}", flush=True)
        files[verified(key, name, url, digest, place)] = (requirement, url)
        wanted.extend(wanted_of(required(file)))
    sys.path.remove(to)
    for n, (file, (requirement, url)) in enumerate(files.items()):
        staged, (project, version, *_) = os.path.join(place, f"staged-{n}"), parse_wheel_filename(os.path.basename(file))
        pip_install(staged, file)
        there = versions_there(project) or "none"
        judge(f"{project} {version} ({requirement} is needed)", project, staged)
        print(f"pybit: from the farm: {project} {version} (the environment has {there}; {requirement} is needed), {url}", flush=True)
    if files:
        os.makedirs(to, mode=0o755, exist_ok=True)
        pip_install(to, *files)
