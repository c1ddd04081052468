"""Every finding of checkov has a reason in checkov-accepted.txt, and every reason has a finding."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import copy_configuration, succeed

pytestmark = pytest.mark.xdist_group("plans")

ACCEPTED = Path(__file__).with_name("checkov-accepted.txt")
CHECKOV = Path(sys.executable).with_name("checkov")
OPTIONS = ["--compact", "--quiet", "--skip-download", "--soft-fail", "--output", "json"]


@dataclass(frozen=True)
class Finding:
    check: str
    where: str
    resource: str
    name: str


@dataclass(frozen=True)
class Reason:
    check: str
    where: str
    resources: str
    text: str

    def explains(self, finding):
        return (
            self.check == finding.check
            and self.where in (finding.where, "any")
            and re.fullmatch(self.resources, finding.resource)
        )


def reasons():
    found = []
    for line in ACCEPTED.read_text().splitlines():
        if line and not line.startswith("#"):
            fields = line.split(None, 3)
            complete = len(fields) == 4 and fields[1] in ("code", "plan", "any")
            assert complete, f"not CHECK WHERE RESOURCES REASON: {line}"
            found.append(Reason(*fields))
    return found


def documents(text):
    """checkov prints one JSON document after the other, and sometimes a sentence behind them."""
    decoder, at = json.JSONDecoder(), 0
    while match := re.compile(r"[\[{]").search(text, at):
        found, at = decoder.raw_decode(text, match.start())
        yield from found if isinstance(found, list) else [found]


def check(where, directory, *target):
    passed, found = 0, set()
    printed = succeed(CHECKOV, *OPTIONS, *target, cwd=directory).stdout
    for document in documents(printed):
        assert document["summary"]["parsing_errors"] == 0, f"checkov could not read {target}"
        passed += document["summary"]["passed"]
        for failed in document["results"]["failed_checks"]:
            resource = re.sub(r"module\.\w+(\[[^]]*\])?\.|\[[^]]*\]", "", failed["resource"])
            found.add(Finding(failed["check_id"], where, resource, failed["check_name"]))
    assert passed > 0, f"checkov checked nothing of {target}"
    return found


def assert_explained(findings):
    known = reasons()
    unexplained = [finding for finding in findings if not any(reason.explains(finding) for reason in known)]
    listed = "\n".join(sorted(map(str, unexplained)))
    assert not unexplained, f"mend these, or accept them with a reason in {ACCEPTED.name}:\n{listed}"


@pytest.fixture(scope="module")
def in_code(tmp_path_factory):
    copy = copy_configuration(tmp_path_factory.mktemp("checkov"))
    framework = ["--framework", "terraform", "-d"]
    return check("code", copy, *framework, "terraform") | check("code", copy, *framework, "bucket-state")


@pytest.fixture(scope="module")
def in_plan(plans):
    return check("plan", plans.directory, "--framework", "terraform_plan", "-f", plans.file("prod").name)


def test_every_finding_in_the_code_has_a_reason(in_code):
    assert_explained(in_code)


def test_every_finding_in_the_plan_of_prod_has_a_reason(in_plan):
    assert_explained(in_plan)


def test_every_reason_still_has_a_finding(in_code, in_plan):
    unused = [reason for reason in reasons() if not any(map(reason.explains, in_code | in_plan))]
    listed = "\n".join(map(str, unused))
    assert not unused, f"remove these from {ACCEPTED.name}:\n{listed}"
