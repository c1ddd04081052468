//! What the commands do and how they end.

use chassis::testing::Ended;

use crate::{
    server::{PLAIN, client, get, made_certificate, post, run, start},
    support::FOO,
};

#[tokio::test(flavor = "multi_thread")]
async fn check_leaves_nothing_and_clean_deletes_what_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let url = &*server.url.clone();
    let certificate = folder.path().join("certs/localhost.crt");
    let certificate = certificate.to_str().unwrap();
    let at = ["--url", url, "--cacert", certificate];
    let run_at = |name: &str, more: &[&str]| run(&[&[name][..], &at, more].concat(), &[]);
    let deleted = |ended: Ended| ended.expect(0).trim().to_owned();
    // They ask a server, and need no settings of this machine.
    run(&[&["check"][..], &at].concat(), &[("PORT", "x")]).expect(0);
    assert_eq!(deleted(run_at("clean", &["--all-probes"])), "deleted 0", "check leaves nothing");

    let client = client([made_certificate(folder.path())]).build().unwrap();
    post(&client, url, "foo").await.unwrap();
    // As a check leaves it that dies halfway.
    post(&client, url, "messages probe 255").await.unwrap();
    assert_eq!(deleted(run_at("clean", &["--all-probes"])), "deleted 1");
    assert_eq!(get(&client, url, FOO).await.unwrap().0, 200, "no probe");
    assert_eq!(deleted(run_at("clean", &[FOO, &FOO.replace('2', "3")])), "deleted 1");
    assert_eq!(get(&client, url, FOO).await.unwrap().0, 404);

    run_at("clean", &["2c26"]).expect(64);
    run_at("clean", &[]).expect(64);
    let no_messages = format!("http://{}", server.metrics_address);
    run(&["check", "--url", &no_messages], &[]).expect(1);
    drop(server);
    let gone = run_at("check", &[]).expect(69);
    assert!(gone.contains(&format!("no answer from {url}")) && gone.contains("refused"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let untrusted = run(&["check", "--url", &server.url], &[]).expect(69);
    assert!(untrusted.contains("is not trusted"), "{untrusted}");
    assert!(untrusted.contains("--cacert FILE") && untrusted.contains("SSL_CERT_FILE"), "{untrusted}");
    assert!(!untrusted.contains("UnknownIssuer"), "{untrusted}");
    let certificate = folder.path().join("certs/localhost.crt");
    let variable = [("SSL_CERT_FILE", certificate.to_str().unwrap())];
    run(&["check", "--url", &server.url], &variable).expect(0);
}

#[test]
fn healthcheck_tells_whether_the_server_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let (public, private) = (port(&server.address), port(&server.metrics_address));
    let variables = [("PORT", public.as_str()), ("MESSAGES__SERVER__METRICS_PORT", &private)];
    run(&["healthcheck"], &variables).expect(0);
    drop(server);
    run(&["healthcheck"], &variables).expect(1);
}

#[test]
fn a_wrong_setup_is_told_in_full_with_exit_code_64() {
    for (variables, arguments, parts) in [
        (
            &[
                ("PORT", "x"),
                ("MESSAGES__STORE__FOLDER", "x"),
                ("MESSAGES__SERVER__BODY_LIMIT_BYTES", "6291456"),
                ("MESSAGES_REDIS_HOST", "a,b"),
                ("MESSAGES_REDIS_PASSWORD_FILE", "/nowhere"),
                ("MESSAGES__LOGS__BACKUP_COUNT", "0"),
            ][..],
            &["serve"][..],
            &["server.port (from PORT)", "there is no setting store.folder"][..],
        ),
        (
            &[
                ("MESSAGES__SERVER__BODY_LIMIT_BYTES", "6291456"),
                ("MESSAGES_REDIS_HOST", "a,b"),
                ("MESSAGES_REDIS_PASSWORD_FILE", "/nowhere"),
                ("MESSAGES__LOGS__BACKUP_COUNT", "0"),
                ("MESSAGES__REDIS__TIMEOUT_SECONDS", "10"),
            ],
            &[],
            &[
                "server.body_limit_bytes (from",
                "redis.host (from MESSAGES_REDIS_HOST)",
                "cannot read /nowhere",
                "logs.backup_count (from",
                "redis.timeout_seconds (from",
            ],
        ),
        (&[], &["sreve"], &["unrecognized subcommand"]),
    ] {
        let log = run(arguments, variables).expect(64);
        for part in parts {
            assert!(log.contains(part), "{part} is missing in {log}");
        }
    }
}

#[test]
fn a_store_that_cannot_be_opened_is_told() {
    let log = run(&["serve"], &[PLAIN, ("MESSAGES_FILE", "/proc/x/messages.redb")]).expect(69);
    assert!(log.contains("/proc/x/messages.redb"), "{log}");
}

#[test]
fn the_effective_configuration_shows_no_secret() {
    let variables = [("MESSAGES_REDIS_PASSWORD", "hush"), ("MESSAGES_REDIS_HOST", "db")];
    let text = run(&["config"], &variables).expect(0);
    assert!(text.contains("# MESSAGES_REDIS_HOST") && text.contains("# default"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn every_command_explains_itself() {
    for name in ["serve", "check", "clean", "config", "openapi", "healthcheck", "completions", "man"] {
        let text = run(&[name, "--help"], &[]).expect(0);
        assert!(text.contains("Usage: messages"), "{name}: {text}");
    }
}
