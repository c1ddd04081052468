#!/usr/bin/env python3
"""checkov.py ACCEPTED code=RESULT.json... plan=RESULT.json...: fails on findings that ACCEPTED has no reason for."""

import json
import pathlib
import re
import sys


def documents(text):
    """checkov prints one JSON document after the other, and sometimes a sentence behind them."""
    decoder, at = json.JSONDecoder(), 0
    while match := re.compile(r"[\[{]").search(text, at):
        found, at = decoder.raw_decode(text, match.start())
        yield from found if isinstance(found, list) else [found]


def main():
    accepted = []
    for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
        if line and not line.startswith("#"):
            fields = line.split(None, 3)
            if len(fields) < 4 or fields[1] not in ("code", "plan", "any"):
                sys.exit(f"not CHECK WHERE RESOURCES REASON: {line}")
            accepted.append(fields)

    findings, passed = set(), 0
    for argument in sys.argv[2:]:
        where, path = argument.split("=", 1)
        checked = 0
        for document in documents(pathlib.Path(path).read_text()):
            checked += document["summary"]["passed"]
            if document["summary"]["parsing_errors"]:
                sys.exit(f"{path}: checkov could not read what it was to check")
            for finding in document["results"]["failed_checks"]:
                resource = re.sub(r"module\.\w+(\[[^]]*\])?\.|\[[^]]*\]", "", finding["resource"])
                findings.add((finding["check_id"], where, resource, finding["check_name"]))
        if not checked:
            sys.exit(f"{path}: checkov checked nothing")
        passed += checked

    used, unexplained = set(), 0
    for check, where, resource, name in sorted(findings):
        reasons = [
            number
            for number, (id_, at, pattern, _) in enumerate(accepted)
            if id_ == check and at in (where, "any") and re.fullmatch(pattern, resource)
        ]
        used.update(reasons)
        if not reasons:
            unexplained += 1
            print(f"{check} in {where}: {resource}: {name}")
    unused = [fields for number, fields in enumerate(accepted) if number not in used]
    for fields in unused:
        print(f"no finding needs this line any more: {' '.join(fields)}")
    print(f"checkov: {passed} passed, {len(findings) - unexplained} accepted with a reason, {unexplained} without")
    sys.exit(bool(unexplained or unused))


main()
