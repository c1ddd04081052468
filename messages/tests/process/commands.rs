//! What the commands do and how they end.

use std::process::Output;

use crate::{
    server::{PLAIN, Server, client, command, get, post, text},
    support::FOO,
};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command(folder.path(), variables).args(arguments).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_leaves_nothing_and_clean_deletes_what_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let url = &*server.url.clone();
    let certificate = folder.path().join("certs/localhost.crt");
    let at = ["--url", url, "--cacert", certificate.to_str().unwrap()];
    let run = |name: &str, more: &[&str]| run(&[&[name][..], &at, more].concat(), &[]);
    let deleted = |output: &Output| {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(output).trim().to_owned()
    };
    assert_eq!(run("check", &[]).status.code(), Some(0));
    assert_eq!(deleted(&run("clean", &["--all-probes"])), "deleted 0", "check leaves nothing");

    let client = client([server.certificate()]).build().unwrap();
    post(&client, url, "foo").await.unwrap();
    // As a check leaves it that dies halfway.
    post(&client, url, "messages probe 255").await.unwrap();
    assert_eq!(deleted(&run("clean", &["--all-probes"])), "deleted 1");
    assert_eq!(get(&client, url, FOO).await.unwrap().0, 200, "no probe");
    assert_eq!(deleted(&run("clean", &[FOO, &FOO.replace('2', "3")])), "deleted 1");
    assert_eq!(get(&client, url, FOO).await.unwrap().0, 404);

    assert_eq!(run("clean", &["2c26"]).status.code(), Some(64));
    assert_eq!(run("clean", &[]).status.code(), Some(64), "clean needs to be told what");
    let untrusted = crate::commands::run(&["check", "--url", url], &[]);
    assert_eq!(untrusted.status.code(), Some(69), "{untrusted:?}");
    let no_messages = format!("http://{}", server.metrics_address);
    let other = crate::commands::run(&["check", "--url", &no_messages], &[]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    drop(server);
    assert_eq!(run("check", &[]).status.code(), Some(69));
}

#[test]
fn healthcheck_tells_whether_the_server_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let (public, private) = (port(&server.address), port(&server.metrics_address));
    let variables = [("PORT", public.as_str()), ("MESSAGES__SERVER__METRICS_PORT", &private)];
    assert_eq!(run(&["healthcheck"], &variables).status.code(), Some(0));
    drop(server);
    assert_eq!(run(&["healthcheck"], &variables).status.code(), Some(1));
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
        let output = run(arguments, variables);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        for part in parts {
            assert!(text(&output).contains(part), "{part} is missing in {output:?}");
        }
    }
}

#[test]
fn a_store_that_cannot_be_opened_is_told() {
    let output = run(&["serve"], &[PLAIN, ("MESSAGES_FILE", "/proc/x/messages.redb")]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output).contains("/proc/x/messages.redb"), "{output:?}");
}

#[test]
fn the_effective_configuration_shows_no_secret() {
    let output = run(&["config"], &[("MESSAGES_REDIS_PASSWORD", "hush"), ("MESSAGES_REDIS_HOST", "db")]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("# MESSAGES_REDIS_HOST") && text.contains("# default"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn every_command_explains_itself() {
    for name in ["serve", "check", "clean", "config", "openapi", "healthcheck"] {
        let output = run(&[name, "--help"], &[]);
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
        assert!(text(&output).contains("Usage: messages"), "{name}: {output:?}");
    }
}
