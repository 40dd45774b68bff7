# Says what the distributions that are the arguments say of themselves: a JSON object on a line for each, with the file's name, the
# project, its version, Requires-Python and the projects that it stands for; or with why the file is refused. Writes a wheel's METADATA beside it, as FILE.metadata
# (PEP 658). Nothing of them is run, and no more is read than that.
import json
import os
import sys
import tarfile
import zipfile
import zlib
from email.parser import BytesParser

LARGEST, MOST_MEMBERS, MOST_BYTES = 4 << 20, 200_000, 16 << 30


class Refused(Exception):
    pass


def of_wheel(path):
    with zipfile.ZipFile(path) as archive:
        found = [i for i in archive.infolist() if i.filename.count("/") == 1 and i.filename.endswith(".dist-info/METADATA")]
        if len(found) != 1 or found[0].file_size > LARGEST:
            raise Refused("it must say what it is, once")
        with archive.open(found[0]) as member:
            body = member.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise Refused("it says too much of itself")
    with open(path + ".metadata", "xb") as out:
        out.write(body)
    return body


def of_sdist(path):
    size = 0
    with tarfile.open(path, "r:gz") as archive:
        for members, member in enumerate(archive):
            size += member.size
            if members > MOST_MEMBERS or size > MOST_BYTES:
                break
            parts = member.name.split("/")
            if len(parts) == 2 and parts[1] == "PKG-INFO" and member.isreg() and member.size <= LARGEST:
                return archive.extractfile(member).read()
    raise Refused("it does not say what it is")


for path in sys.argv[1:]:
    said = {"file": os.path.basename(path)}
    try:
        headers = BytesParser().parsebytes((of_wheel if path.endswith(".whl") else of_sdist)(path), headersonly=True)
        for key, field in ("name", "Name"), ("version", "Version"), ("python", "Requires-Python"):
            said[key] = str(headers.get(field) or "").strip()
        for key, field in ("provides", "Provides-Dist"), ("obsoletes", "Obsoletes-Dist"):
            said[key] = [str(value) for value in headers.get_all(field, [])]
    except (Refused, zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        said["refused"] = str(error)
    except OSError as error:
        # gzip calls what is torn an OSError of no number; what the disk says has one.
        if error.errno:
            raise
        said["refused"] = str(error)
    print(json.dumps(said))
