# Says which build requirements of a project are missing. Arguments: what to do with them, what is built (sdist, and of that a wheel; or
# only a wheel), and the project. "list" writes a line REQUIREMENT for each to ./requires.list, "check" prints "pybit: unmet: REQUIREMENT"
# and fails. A backend that is missing cannot be asked what else it needs. What an installed package of the distribution needs itself is the
# distribution's matter, which leaves out what it finds needless: Debian 12 has hatchling, and not the editables that it names.
import importlib.metadata
import os
import sys

from build import BuildBackendException, BuildException, ProjectBuilder, check_dependency
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

mode, what, project = sys.argv[1:]
# After the imports: what is installed from the farm's index is looked at here, and run by the backend alone.
own = [os.path.realpath(p) for p in os.environ.get("PYTHONPATH", "").split(":") if p]
sys.path[:0] = own


def plain(requirement):
    # A marker is true and a URL never fetched; extras are part of what an installed distribution needs itself.
    read = Requirement(requirement)
    return f"{canonicalize_name(read.name)}{read.specifier}"


def counts(chain):
    if len(chain) == 1:
        return True
    needs_it = Requirement(chain[-2])
    where = os.path.realpath(importlib.metadata.distribution(needs_it.name).locate_file(""))
    return bool(needs_it.extras) or where in own


def missing(requirements):
    return {plain(chain[-1]) for r in requirements for chain in check_dependency(r) if counts(chain)}


try:
    builder = ProjectBuilder(os.path.realpath(project))
    unmet = missing(builder.build_system_requires)
    if not unmet:
        kinds = ["sdist", "wheel"] if what == "sdist" and os.path.islink(project) else ["wheel"]
        for kind in kinds:
            unmet |= missing(builder.get_requires_for_build(kind))
except (BuildException, BuildBackendException, InvalidRequirement) as error:
    sys.exit(f"error: {error}")
if mode == "list":
    with open("requires.list", "w", encoding="utf-8") as out:
        out.writelines(f"{r}\n" for r in sorted(unmet))
    sys.exit()
for requirement in sorted(unmet):
    print(f"pybit: unmet: {requirement}")
sys.exit(1 if unmet else 0)
