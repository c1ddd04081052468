"""The packages on a fresh machine: installed, started, upgraded, removed and purged."""

import json

import pytest
from conftest import ROOT, fresh_machines, package, run

UNITS = {
    "rates": ["rates", "rates-worker", "rates-migrate"],
    "messages": ["messages"],
    "transfer": ["transfer-receive", "transfer-send"],
    "multivac": ["multivac", "multivac-worker", "multivac-migrate"],
}


@pytest.fixture(scope="module")
def machine():
    _, (machine,) = fresh_machines(1)
    for name in UNITS:
        machine.put(package(name), f"/root/{name}.deb")
    machine.run("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq man-db /root/*.deb")
    return machine


def test_installing_starts_and_enables_nothing(machine):
    for unit in sum(UNITS.values(), []):
        assert not machine.is_active(unit), unit
        assert machine.status(f"systemctl is-enabled {unit}") != 0 or unit.endswith("-migrate"), unit


def test_a_unit_gives_up_what_it_does_not_need(machine):
    for unit in sum(UNITS.values(), []):
        # 20 is an exposure of 2.0.
        machine.run(f"systemd-analyze security --no-pager --threshold=20 {unit}.service")


def test_manual_pages_and_completions_are_installed(machine):
    for name in UNITS:
        assert name in machine.run(f"man -P cat {name}")
        machine.run(f"bash -n /usr/share/bash-completion/completions/{name}")


def test_a_service_keeps_its_data_through_an_upgrade_and_a_purge(machine, tmp_path):
    machine.run("systemctl enable --now messages && sleep 1")
    ask = "curl -fsS --cacert /var/lib/messages/certs/localhost.crt"
    digest = json.loads(machine.run(f"""{ask} --json '{{"message":"foo"}}' https://localhost:5000/messages"""))["digest"]
    first = machine.run("systemctl show --value -p MainPID messages")

    run(ROOT / "packaging/build.sh", "--programs", "target/debug", "--revision", 2, "--output", tmp_path, "messages", cwd=ROOT)
    (newer,) = tmp_path.glob("*.deb")
    machine.put(newer, "/root/newer.deb")
    machine.run("DEBIAN_FRONTEND=noninteractive apt-get install -y -qq /root/newer.deb && sleep 1")
    assert machine.run("systemctl show --value -p MainPID messages") != first, "not restarted"
    assert "stopped" in machine.run("journalctl -u messages -o cat"), "not stopped gracefully"
    assert "foo" in machine.run(f"{ask} https://localhost:5000/messages/{digest}")

    machine.run("apt-get purge -y -qq messages")
    assert not machine.is_active("messages")
    assert machine.status("test -e /etc/messages/messages.toml") != 0
    machine.run("test -s /var/lib/messages/data/messages.redb")
    machine.run("DEBIAN_FRONTEND=noninteractive apt-get install -y -qq /root/messages.deb && systemctl start messages && sleep 1")
    assert "foo" in machine.run(f"{ask} https://localhost:5000/messages/{digest}")


def test_a_failed_migration_leaves_the_old_program_running(machine):
    machine.run("touch /etc/multivac/migrate.env && systemctl start multivac && sleep 1")
    first = machine.run("systemctl show --value -p MainPID multivac")
    # Nothing listens there.
    machine.run("echo DATABASE_URL=postgres://nobody@127.0.0.1:1/x >/etc/multivac/migrate.env")
    assert machine.status("dpkg -i /root/multivac.deb") != 0
    assert machine.run("systemctl show --value -p MainPID multivac") == first
    machine.run("rm /etc/multivac/migrate.env && dpkg --configure multivac && sleep 1")
    assert machine.is_active("multivac")
    assert machine.run("systemctl show --value -p MainPID multivac") != first
