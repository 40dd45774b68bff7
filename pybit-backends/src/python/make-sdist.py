# Makes ./NAME-VERSION.tar.gz of the project that is the argument; where that was unpacked from an sdist, the sdist is there already.
import os
import sys

project = sys.argv[1]
if os.path.islink(project):
    words = [sys.executable, "-I", "-m", "build", "--sdist", "--no-isolation", "--skip-dependency-check", "--outdir", "."]
    os.execv(sys.executable, [*words, os.path.realpath(project)])
