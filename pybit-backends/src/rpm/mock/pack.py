# Packs a tree for mock's root. Arguments: the tree, the directory to make, then for each script its name and its text. The directory holds
# plain files alone, for mock's --copyin follows links as root; the tree is tree.tar in it, its links as they are.
import os
import sys
import tarfile

tree, to, *words = sys.argv[1:]


def plain(member):
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member if member.isreg() or member.isdir() or member.issym() or member.islnk() else None


os.mkdir(to, 0o755)
with tarfile.open(os.path.join(to, "tree.tar"), "x") as tar:
    tar.add(tree, "tree", filter=plain)
for name, text in zip(words[::2], words[1::2]):
    with open(os.path.join(to, name), "x", encoding="utf-8") as script:
        script.write(text)
