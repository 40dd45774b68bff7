#!/usr/bin/python3
"""Says what python-debian reads in a source index: a line of JSON for each source."""

import json
import sys

from debian.deb822 import Sources

FIELDS = ["Build-Depends", "Build-Depends-Indep", "Build-Depends-Arch"]


def alternative(read):
    return [
        read["name"],
        read["archqual"],
        list(read["version"]) if read["version"] else None,
        [("" if a.enabled else "!") + a.arch for a in read["arch"] or []],
        [[("" if r.enabled else "!") + r.profile for r in group] for group in read["restrictions"] or []],
    ]


with open(sys.argv[1], encoding="utf-8") as index:
    for source in Sources.iter_paragraphs(index, use_apt_pkg=False):
        relations = source.relations
        print(json.dumps([
            source["Package"],
            source["Version"],
            source["Architecture"].split(),
            [[[alternative(one) for one in group] for group in relations[field.lower()]] for field in FIELDS],
        ]))
