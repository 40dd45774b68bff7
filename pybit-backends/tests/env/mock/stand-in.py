#!/usr/bin/python3
# Stands in for mock, which cannot be installed where these tests run. It takes the arguments that mock takes and no others, refuses whom mock
# refuses, keeps a root for each configuration and --uniqueext, builds with the machine's rpmbuild, writes the logs and last words that
# mock writes, and exits with mock's codes. A root is a directory, not a chroot: words that begin with /pybit are taken as paths in it.
#
# Beside it lie etc/NAME.json (a configuration: "gid" that may use it, "installed" names, "exit" to fail with, "distribution": a directory that
# the machine's dnf chooses packages from, and from the repositories that are added) and state/ (calls, roots).
import argparse
import fcntl
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys

BASE = os.path.dirname(os.path.realpath(__file__))
STATE = os.path.join(BASE, "state")


def note(**what):
    with open(os.path.join(STATE, "calls"), "a", encoding="utf-8") as calls:
        calls.write(json.dumps(what) + "\n")


def say(line):
    print(line, file=sys.stderr, flush=True)


def fail(code, why):
    say(f"ERROR: {why}")
    sys.exit(code)


def arguments():
    words, rest = sys.argv[1:], []
    if "--" in words:
        at = words.index("--")
        words, rest = words[:at], words[at + 1 :]
    parser = argparse.ArgumentParser(prog="mock", allow_abbrev=False)
    modes = parser.add_mutually_exclusive_group(required=True)
    for mode in ("rebuild", "init", "install", "copyin", "copyout", "chroot"):
        modes.add_argument(f"--{mode}", dest="mode", action="store_const", const=mode)
    scrubs = ["all", "chroot", "cache", "root-cache", "bootstrap"]
    modes.add_argument("--scrub", action="append", choices=scrubs)
    parser.add_argument("-r", "--root", required=True)
    parser.add_argument("--uniqueext", required=True)
    parser.add_argument("--resultdir")
    parser.add_argument("--config-opts", action="append", default=[])
    parser.add_argument("-a", "--addrepo", action="append", default=[])
    parser.add_argument("--unpriv", action="store_true")
    parser.add_argument("--cwd")
    parser.add_argument("args", nargs="*")
    options = parser.parse_intermixed_args(words)
    options.args += rest
    options.mode = options.mode or "scrub"
    return options


options = arguments()
note(mode=options.mode, argv=sys.argv[1:], uid=os.getuid(), groups=os.getgroups(), home=os.environ.get("HOME"))
if os.getuid() == 0:
    fail(1, "mock will not run from the root account (needs an unprivileged uid so it can drop privs)")
if options.root.endswith(".cfg") or "/" in options.root:
    fail(3, "a test gave a path")
try:
    with open(os.path.join(BASE, "etc", options.root + ".json"), encoding="utf-8") as file:
        config = json.load(file)
except FileNotFoundError:
    fail(1, f"Could not find required config file: {options.root}")
if config["gid"] not in os.getgroups():
    fail(1, "Must be member of 'mock' group to run mock!")
if options.resultdir and any(c in options.resultdir for c in "{%'\""):
    fail(3, "a test gave a template")
opts = dict(word.split("=", 1) for word in options.config_opts)
basedir = os.path.join(STATE, "roots", f"{options.root}-{options.uniqueext}")
root = os.path.join(basedir, "root")
# The extension is the bootstrap root's, too.
bootstrap = os.path.join(STATE, "roots", f"{options.root}-bootstrap-{options.uniqueext}")
result = options.resultdir or os.path.join(basedir, "result")


def terminated(number, _):
    note(signal=number)
    sys.exit(128 + number)


signal.signal(signal.SIGTERM, terminated)


def init():
    os.makedirs(basedir, exist_ok=True)
    os.makedirs(os.path.join(bootstrap, "root"), exist_ok=True)
    lock = open(os.path.join(basedir, "buildroot.lock"), "a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        fail(60, "Build root is locked by another process.")
    if "exit" in config:
        fail(config["exit"], "a test wants this")
    for name in ("RPMS", "SPECS", "SRPMS", "SOURCES", "BUILD", "BUILDROOT", "originals"):
        os.makedirs(os.path.join(root, "builddir/build", name), exist_ok=True)
    return lock


def inside(word):
    return root + word if word.startswith("/pybit") else word


def logged(command, log):
    """Runs a command with its output in a log, and on standard output where that is asked for."""
    with open(os.path.join(result, log), "ab") as file:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in child.stdout:
            file.write(line)
            file.flush()
            if opts.get("print_main_output") == "True":
                sys.stdout.buffer.write(line)
                sys.stdout.flush()
        return child.wait()


def rpm(*words):
    return subprocess.run(["rpm", *words], check=True, capture_output=True, text=True).stdout.splitlines()


def last_words(srpm, code, command, output=""):
    say(f"ERROR: Exception({srpm}) Config({options.root}) 0 minutes 1 seconds")
    say(f"INFO: Results and/or logs in: {result}")
    say("INFO: Cleaning up build root ('cleanup_on_failure=True')")
    shutil.rmtree(root)
    say(f"ERROR: Command failed: \n # {command}\n{output}")
    sys.exit(code)


def chosen(wanted):
    """What the real dnf would install, as mock calls it: [name, version and repository] of each."""
    conf, common = os.path.join(basedir, "dnf.conf"), []
    text = "[main]\nreposdir=/dev/null\nbest=1\nobsoletes=1\ngpgcheck=0\ninstall_weak_deps=0\n"
    text += f"[distribution]\nname=distribution\nbaseurl=file://{config['distribution']}\n"
    for url in options.addrepo:
        name = re.sub(r"[^a-zA-Z0-9_]", "", url.split("://")[1].replace("/", "_"))
        text += f"[{name}]\nname={url}\nbaseurl={url}\nenabled=1\nskip_if_unavailable=0\nmetadata_expire=0\ncost=1\nbest=1\n"
    with open(conf, "w", encoding="utf-8") as file:
        file.write(text)
    common = [word.split("=", 1)[1] for word in options.config_opts if word.startswith("dnf_common_opts=")]
    logs = os.path.join(basedir, "logs")
    os.makedirs(logs, exist_ok=True)
    command = ["unshare", "--map-root-user", "dnf", "-c", conf, "--installroot", os.path.join(basedir, "chosen"), "--releasever=1"]
    command += [f"--setopt=cachedir={basedir}/cache", f"--setopt=logdir={logs}", *common, "--assumeno", "install", *wanted]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    table = said.partition("\nInstalling:")[2].partition("\nTransaction Summary")[0]
    rows = re.findall(r"(\S+)\s+(?:noarch|\w+_64)\s+(\S+)\s+(\S+)\s+[\d.]+ [kMG]?", table)
    note(chosen=sorted(rows), said="" if rows else said)
    return rows


def builddep(srpm, rebuilt):
    command = f"/usr/bin/dnf builddep --installroot {root}/ {rebuilt}"
    there = set(config.get("installed", []))
    for url in options.addrepo:
        path = url.removeprefix("file://")
        if not url.startswith("file:///") or not os.path.exists(os.path.join(path, "repodata/repomd.xml")):
            last_words(srpm, 30, command, f"Error: Failed to download metadata for repo '{url}'")
        for package in glob.glob(os.path.join(path, "Packages/*/*.rpm")):
            there.update(line.split()[0] for line in rpm("-qp", "--nosignature", "--provides", package))
    wanted = [line for line in rpm("-qp", "--nosignature", "--requires", rebuilt) if not line.startswith("rpmlib(")]
    if "distribution" in config:
        if not chosen(wanted):
            last_words(srpm, 30, command, "Error: Some packages could not be found.")
        return
    missing = [line for line in wanted if line.split()[0] not in there]
    if missing:
        said = "".join(f"No matching package to install: '{line}'\r\n" for line in missing)
        last_words(srpm, 30, command, said + "Not all dependencies satisfied\r\nError: Some packages could not be found.")


def rebuild(srpm):
    os.makedirs(result, exist_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    init()
    top = os.path.join(root, "builddir/build")
    defines = [
        "--define", f"_topdir {top}", "--define", f"_tmppath {root}", "--define", f"_dbpath {root}/db",
        "--define", "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    ]
    say(f"Start: build phase for {os.path.basename(srpm)}")
    rpm("-i", "--nodeps", "--nosignature", *defines, srpm)
    (spec,) = glob.glob(os.path.join(top, "SPECS/*.spec"))
    for mode in ("-bs", "-bb"):
        code = logged(["rpmbuild", mode, "--nodeps", *defines, spec], "build.log")
        if code:
            last_words(srpm, code, f"bash --login -c /usr/bin/rpmbuild {mode} --target x86_64 --nodeps {spec}")
        if mode == "-bs":
            builddep(srpm, glob.glob(os.path.join(top, "SRPMS/*.src.rpm"))[0])
    results = glob.glob(os.path.join(top, "RPMS/*.rpm")) + glob.glob(os.path.join(top, "SRPMS/*.rpm"))
    for file in results:
        shutil.copy2(file, result)
    for log in ("root.log", "state.log"):
        with open(os.path.join(result, log), "a", encoding="utf-8") as file:
            file.write("INFO buildroot.py:1:  stood in\n")
    shutil.rmtree(root)
    say(f"INFO: Done({srpm}) Config({options.root}) 0 minutes 1 seconds")


def copyout(words):
    *patterns, to = words
    sources = []
    for pattern in patterns:
        matches = glob.glob(inside(pattern))
        if not matches:
            fail(50, f"{pattern} not found")
        sources += matches
    for source in sources:
        if os.path.islink(source):
            os.symlink(os.readlink(source), os.path.join(to, os.path.basename(source)))
        else:
            shutil.copy(source, to)


say("INFO: mock.py version 0 starting (a stand-in of pybit's tests)...")
if options.mode == "scrub":
    for name, directory in (("chroot", basedir), ("bootstrap", bootstrap)):
        if name in options.scrub or "all" in options.scrub:
            shutil.rmtree(directory, ignore_errors=True)
elif options.mode == "rebuild":
    rebuild(*options.args)
else:
    lock = init()
    if options.mode == "copyin":
        *sources, to = options.args
        for source in sources:
            # As mock does: links are followed.
            shutil.copytree(source, inside(to)) if os.path.isdir(source) else shutil.copy(source, inside(to))
    elif options.mode == "copyout":
        copyout(options.args)
    elif options.mode == "chroot":
        command = [inside(word) for word in options.args]
        code = subprocess.run(command, cwd=inside(options.cwd or root), stdin=subprocess.DEVNULL).returncode
        if code:
            fail(code, f"Command failed: \n # {' '.join(options.args)}\n")
