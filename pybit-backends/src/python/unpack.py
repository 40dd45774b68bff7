# Makes ./TO of FROM. Arguments: FROM and TO. FROM is an sdist, or a directory: a project is taken as it is, one that holds nothing but an
# sdist gives that. An sdist that is elsewhere is copied to the current directory, and unpacked. No member leads out of its own tree.
import os
import shutil
import sys
import tarfile

MOST_MEMBERS, MOST_BYTES = 200_000, 16 << 30


def fail(why):
    sys.exit(f"error: {why}")


def sdist_in(tree):
    found = sorted(n for n in os.listdir(tree) if n.endswith(".tar.gz") and os.path.isfile(os.path.join(tree, n)))
    if not found:
        fail("the tree holds neither a pyproject.toml nor a setup.py, nor an sdist (NAME-VERSION.tar.gz)")
    if len(found) > 1:
        fail("the tree holds several .tar.gz files, and must hold one: " + " ".join(found))
    return os.path.join(tree, found[0])


def inside(root, path):
    return os.path.commonpath([root, os.path.realpath(os.path.join(root, path))]) == root


def check(root, member):
    parts = member.name.split("/")
    if member.name.startswith("/") or ".." in parts or not inside(root, member.name):
        fail("the sdist holds a file whose path leads out of it")
    if member.issym():
        target = os.path.join(os.path.dirname(member.name), member.linkname)
    elif member.islnk():
        target = member.linkname
    elif member.isreg() or member.isdir():
        return
    else:
        fail("the sdist holds a device or a pipe")
    if os.path.isabs(member.linkname) or not inside(root, target):
        fail("the sdist holds a link that leads out of it")


def unpack(sdist, to):
    root = os.path.realpath(to + ".unpacked")
    os.mkdir(root)
    members, size = 0, 0
    options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(sdist, "r:gz") as archive:
        for member in archive:
            members, size = members + 1, size + member.size
            if members > MOST_MEMBERS or size > MOST_BYTES:
                fail("the sdist unpacks to more than is reasonable")
            check(root, member)
            member.mode = 0o755 if member.isdir() else 0o644 | (member.mode & 0o111)
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
            archive.extract(member, root, **options)
    top = os.listdir(root)
    if len(top) != 1 or not os.path.isdir(os.path.join(root, top[0])) or os.path.islink(os.path.join(root, top[0])):
        fail("the sdist must hold one directory and nothing beside it")
    os.rename(os.path.join(root, top[0]), to)
    if not any(os.path.isfile(os.path.join(to, n)) for n in ("pyproject.toml", "setup.py")):
        fail("the sdist holds neither a pyproject.toml nor a setup.py")


source, to = sys.argv[1:]
if os.path.isdir(source):
    if any(os.path.isfile(os.path.join(source, n)) for n in ("pyproject.toml", "setup.py")):
        os.symlink(os.path.realpath(source), to)
        sys.exit()
    source = sdist_in(source)
    here = os.path.basename(source)
    if os.path.realpath(source) != os.path.realpath(here):
        shutil.copyfile(source, here)
try:
    unpack(source, to)
except (tarfile.TarError, EOFError, OSError, ValueError) as error:
    fail(f"{os.path.basename(source)} cannot be unpacked: {error}")
