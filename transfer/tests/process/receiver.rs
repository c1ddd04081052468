//! Receivers as processes.

use std::{collections::BTreeSet, fs};

use chassis::testing::Process;

use crate::place::Place;

#[test]
fn a_missing_key_is_an_error_in_the_log_and_its_substitute_is_hidden_unless_asked_for() {
    let place = Place::new();
    let missing = place.path("no-key");
    for (shows, variable) in [(false, "false"), (true, "true")] {
        let command = place.command(
            &["receive"],
            &[
                ("DECRYPTION_KEY", missing.to_str().unwrap()),
                ("TRANSFER__RECEIVE__LOG_GENERATED_KEY", variable),
            ],
        );
        let receiver = Process::start(command);
        receiver.signal("-TERM");
        let log = receiver.end().expect(0);
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
        assert!(errors.len() == 1 && errors[0].contains(missing.to_str().unwrap()), "{log}");
        assert_eq!(log.contains("=\",") || log.contains("=\"}"), shows, "{log}");
    }
    assert!(!missing.exists());
}

#[test]
fn a_key_in_a_variable_is_used_instead_of_the_file() {
    let place = Place::new();
    let (missing, key) = (place.path("no-key"), format!("{}\n", place.key.reveal()));
    let variables = [("DECRYPTION_KEY", missing.to_str().unwrap()), ("TRANSFER__RECEIVE__KEY", key.as_str())];
    let receiver = Process::start(place.command(&["receive"], &variables));
    place.drop_file("a.json", "{}");
    let _ = place.send_once(&[]).expect(0);
    receiver.signal("-TERM");
    let log = receiver.end().expect(0);
    assert!(!log.contains("\"ERROR\""), "{log}");
    assert!(place.path("output").join("a.xml").exists());

    let wrong = [("TRANSFER__RECEIVE__KEY", "no key")];
    let log = chassis::testing::run(&mut place.command(&["receive"], &wrong)).expect(64);
    assert!(log.contains("receive.key: ") && !log.contains("no key"), "{log}");
}

#[test]
fn the_originals_names_of_levels_are_understood() {
    let place = Place::new();
    let listens = |level: &str| place.command(&["config"], &[("LOG_LEVEL", level)]);
    for level in ["INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL", "info,reqwest=debug"] {
        let _ = chassis::testing::run(&mut listens(level)).expect(0);
    }
    // With the level WARNING, the error about a missing key is still logged.
    let missing =
        [("DECRYPTION_KEY", "/nowhere/key"), ("LOG_LEVEL", "WARNING"), ("OUTPUT_DIR", "/proc/nowhere")];
    let log = chassis::testing::run(&mut place.command(&["receive"], &missing)).expect(69);
    assert!(log.contains("no decryption key at /nowhere/key") && !log.contains("\"INFO\""), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_receivers_that_share_a_folder_lose_nothing() {
    let place = Place::new();
    let receivers = [place.receiver(), Process::start(place.command(&["receive"], &[("SERVER_PORT", "0")]))];
    chassis::use_ring();
    let client = reqwest::Client::new();
    let contents: Vec<String> = (0..60).map(|number| format!("content {number}")).collect();
    // The same name at once, of both receivers; every content twice.
    let uploads = contents.iter().chain(&contents).enumerate().map(|(number, content)| {
        let token = place.key.seal(content.as_bytes());
        let part = reqwest::multipart::Part::text(token).file_name("a");
        let form = reqwest::multipart::Form::new().part("file", part);
        let request = client.post(format!("{}/upload/a", receivers[number % 2].url)).multipart(form);
        tokio::spawn(async move { request.send().await.unwrap().status() })
    });
    for upload in uploads.collect::<Vec<_>>() {
        assert_eq!(upload.await.unwrap(), 201);
    }
    let arrived: BTreeSet<String> = place.arrived().into_values().collect();
    assert_eq!(arrived, contents.into_iter().collect());
    let unfinished = fs::read_dir(place.path("output")).unwrap().count();
    assert_eq!(unfinished, 2, "a.xml and the folder `previous`");
}
