"""site.yml on one fresh machine, and what follows in the life of it."""

import json
import time

import pytest
from conftest import fresh_machines
from playbooks import MONTH, STORED, Clients, Site, batches, is_open, next_release, reads, renew_certificate, serial, start_acme_server


@pytest.fixture(scope="module")
def site():
    site = Site("one", *fresh_machines(1))
    site.play("site")
    site.key = site.load_sample()
    return site


def version(site):
    return site.first.run("dpkg-query --show --showformat '${Version}' rates")


def test_a_second_run_changes_nothing(site):
    assert site.play("site") == 0


def test_it_answers_through_tls(site):
    answer = site.first.run(
        "curl -fsS --cacert /etc/haproxy/certificate.crt --resolve rates.example.com:443:127.0.0.1 "
        f"'https://rates.example.com{MONTH}'"
    )
    assert len(json.loads(answer)["rates"]) == 31
    assert site.get(MONTH) == (200, answer.encode())


def test_only_ssh_and_the_proxy_can_be_reached(site):
    ports = [22, 443, 3000, 5432, 9090, 9100, 9464]
    assert [port for port in ports if is_open(site.first.address, port)] == [22, 443]


def test_prometheus_finds_every_target_and_loads_the_rules(site):
    deadline = time.monotonic() + 60
    while True:
        targets = json.loads(site.first.run("curl -fsS localhost:9090/api/v1/targets"))["data"]["activeTargets"]
        health = {target["labels"]["job"]: target["health"] for target in targets}
        if health == {"rates": "up", "rates-work": "up", "node": "up"}:
            break
        assert time.monotonic() < deadline, health
        time.sleep(2)
    assert "ServiceDown" in site.first.run("curl -fsS localhost:9090/api/v1/rules")


def test_a_release_and_a_rollback_under_load_fail_no_request(site, tmp_path):
    before = version(site)
    release = next_release(tmp_path, 2)
    with Clients([site.first.address], reads()) as readers, Clients([site.first.address], batches(site.key), 2, 0.1) as suppliers:
        time.sleep(2)
        site.play("app", "-e", f"packages={tmp_path}", "-e", f"release={release}")
        assert version(site) == release
        site.play("rollback")
        assert version(site) == before
        time.sleep(2)
    print(f"{len(readers.answers)} reads, {len(suppliers.answers)} batches, slowest {max(a[1] for a in readers.answers):.1f} s")
    assert not readers.failures() + suppliers.failures(), (readers.errors, suppliers.errors, readers.failures()[:5])
    stored = [int(price) for price in site.psql(STORED).split()]
    assert len(stored) == len(set(stored)) and set(stored) == suppliers.acknowledged()
    site.rates("verify")


def test_a_destroyed_database_is_restored(site):
    site.first.run("systemctl start pgbackrest-backup@incr && systemctl is-active pgbackrest-full.timer pgbackrest-incr.timer")
    # After the backup, so that it is in the archive alone.
    with Clients([site.first.address], batches(site.key), 1) as supplier:
        time.sleep(2)
    assert not supplier.failures()
    site.archive()
    before, stored = site.answers(), site.psql(STORED)
    site.first.run("systemctl stop postgresql && rm -rf /var/lib/postgresql/15/main/* && ! systemctl start postgresql@15-main")
    site.play("restore")
    site.rates("verify")
    assert site.answers() == before and site.psql(STORED) == stored


def test_a_mistake_is_undone_by_returning_to_a_moment(site):
    before = site.answers()
    moment = site.psql("select now()")
    time.sleep(1)
    site.psql("delete from prices")
    site.archive()
    assert site.answers() != before
    site.play("restore", "-e", f"backup_target='{moment}'")
    site.rates("verify")
    assert site.answers() == before


def test_everything_is_back_after_the_power_failed(site):
    _, before = site.get(MONTH)
    site.first.kill()
    site.first.boot()
    deadline = time.monotonic() + 60
    while site.first.status("curl -fsS localhost:9464/readyz") != 0:
        assert time.monotonic() < deadline, site.first.run("systemctl --failed")
        time.sleep(0.5)
    assert site.get(MONTH) == (200, before)
    assert [port for port in (22, 443, 3000, 5432) if is_open(site.first.address, port)] == [22, 443]
    assert site.first.is_active("rates-worker") and site.first.is_active("prometheus")


def test_a_purge_leaves_the_data(site):
    count = site.psql("select count(*) from prices")
    site.first.run("apt-get purge -y -qq rates")
    assert not site.first.is_active("rates")
    assert site.psql("select count(*) from prices") == count
    site.play("app")
    assert site.get(MONTH)[0] == 200


def test_the_certificate_comes_by_acme_and_is_renewed(site):
    site.set(proxy_acme=True, proxy_acme_directory=start_acme_server(site, site.first))
    site.play("site")
    first = serial(site, site.first)
    assert site.play("app") == 0
    assert site.first.run("curl -sS -o /dev/null -w '%{redirect_url}' http://rates.example.com/x --resolve rates.example.com:80:127.0.0.1") == (
        "https://rates.example.com/x"
    )
    assert is_open(site.first.address, 80)
    renew_certificate(site.first)
    assert serial(site, site.first) != first
    assert site.get(MONTH)[0] == 200
