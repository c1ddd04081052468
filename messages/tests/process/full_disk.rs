//! A disk without room: the limit of the size of files stands for it, which a process can be given while it runs.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use chassis::testing::Process;

use crate::{
    server::{PLAIN, client, command, get, post},
    support::FOO,
};

/// A server that is told of a write beyond the limit, which by default would end it.
fn start(folder: &Path) -> Process {
    let server = command(folder, &[PLAIN, ("MESSAGES_LOG_DIR", "")]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\""]).arg(server.get_program()).env_clear();
    shell.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(folder);
    Process::start(shell)
}

/// Files of this process may have this size, in bytes.
fn limit_files(server: &Process, size: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &server.id().to_string(), &format!("--fsize={size}:")])
        .status()
        .expect("prlimit");
    assert!(limited.success(), "{size}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_it_not_ready_until_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let client = client([]).build().unwrap();
    let ready = async || client.get(format!("{}/readyz", server.url)).send().await.unwrap().status().as_u16();
    assert_eq!(post(&client, &server.url, "foo").await.unwrap().0, 201);
    assert_eq!(ready().await, 200);
    for round in 0..2 {
        let size = std::fs::metadata(folder.path().join("data/messages.redb")).unwrap().len();
        limit_files(&server, &size.to_string());
        // Until the room in the file itself is used up.
        let mut acknowledged = Vec::new();
        let rejected = 'full: loop {
            let text = format!("{round} {} {}", acknowledged.len(), "x".repeat(500_000));
            match post(&client, &server.url, &text).await.unwrap().0 {
                201 => acknowledged.push(text),
                status => {
                    assert_eq!(status, 503);
                    // For longer than it takes to try again.
                    let since = Instant::now();
                    while since.elapsed() < Duration::from_millis(2500) {
                        if ready().await == 200 {
                            // What the failed commit had taken is free again, and there is room for one more.
                            continue 'full;
                        }
                        assert_eq!(post(&client, &server.url, "bar").await.unwrap().0, 503);
                        let again = post(&client, &server.url, "foo").await.unwrap().0;
                        assert_eq!(again, 503, "not known to be durable");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    break text;
                }
            }
            assert!(acknowledged.len() < 100, "the file grows beyond the limit");
        };
        assert_eq!(get(&client, &server.url, FOO).await.unwrap(), (200, r#"{"message":"foo"}"#.to_owned()));
        limit_files(&server, "unlimited");
        let deadline = Instant::now() + Duration::from_secs(10);
        while ready().await != 200 {
            assert!(Instant::now() < deadline, "there is room again and it is not ready:\n{}", server.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(post(&client, &server.url, &rejected).await.unwrap().0, 201);
        for text in &acknowledged {
            assert_eq!(post(&client, &server.url, text).await.unwrap().0, 200, "it was acknowledged");
        }
    }
}
