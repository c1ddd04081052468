//! Which files are sent, when, and by which name.

use std::{
    fs,
    io::Write,
    time::{Duration, SystemTime},
};

use chassis::testing::http1;

use crate::place::{Place, expected, wait};

#[test]
fn each_file_is_sent_once_and_again_when_it_changes() {
    let place = Place::new();
    let _receiver = place.receiver();
    place.drop_file("a.json", "[1]");
    let text = place.send_once(&[]).expect(0);
    assert!(text.contains("a.json sent as a") && text.contains("1 sent, 0 set aside, 0 refused"), "{text}");
    assert!(place.send_once(&[]).expect(0).contains("0 sent"));
    // Written again, but not changed.
    place.drop_file("a.json", "[1]");
    assert!(place.send_once(&[]).expect(0).contains("0 sent"));
    place.drop_file("a.json", "[2]");
    assert!(place.send_once(&[]).expect(0).contains("1 sent"));
    let arrived = place.arrived();
    assert_eq!(arrived["a.xml"], expected([("a", "[2]".to_owned())])["a.xml"]);
    assert_eq!(arrived.len(), 2, "{arrived:?}");
}

#[test]
fn files_that_would_share_a_name_are_both_sent() {
    let place = Place::new();
    let _receiver = place.receiver();
    for (file, content) in
        [("a.b.json", "[1]"), ("a.json", "[2]"), ("a.c.json", "[3]"), (".a.json", "[4]"), ("a.txt", "[5]")]
    {
        fs::write(place.input().join(file), content).unwrap();
    }
    for _ in 0..2 {
        place.send_once(&[]).expect(0);
        let arrived = place.arrived();
        assert_eq!(arrived.len(), 3, "{arrived:?}");
        // The shortest name comes first.
        assert!(arrived["a.xml"].contains(">2<"), "{arrived:?}");
        let others: Vec<&str> =
            arrived.keys().filter(|name| name.starts_with("a-")).map(String::as_str).collect();
        assert!(
            others.len() == 2 && others.iter().all(|name| name.len() == "a-0123456789abcdef.xml".len()),
            "{others:?}"
        );
    }
}

#[test]
fn a_bad_file_is_set_aside_with_its_reason_and_blocks_no_other() {
    let place = Place::new();
    let _receiver = place.receiver();
    for (file, content) in [
        ("bad.json", r#"{"a": "#),
        ("scalar.json", "5"),
        ("control.json", "[\"\\u0001\"]"),
        ("good.json", "{}"),
    ] {
        place.drop_file(file, content);
    }
    fs::write(place.input().join("large.json"), format!("[\"{}\"]", "x".repeat(2000))).unwrap();
    let text = place.send_once(&[("TRANSFER__SEND__FILE_LIMIT_BYTES", "1000")]).expect(65);
    assert!(text.contains("1 sent, 4 set aside"), "{text}");
    place.wait_for(&expected([("good", "{}".to_owned())]));
    let reason =
        |file: &str| fs::read_to_string(place.input().join(format!("rejected/{file}.reason.txt"))).unwrap();
    assert!(reason("bad.json").contains("not JSON"), "{}", reason("bad.json"));
    assert!(reason("scalar.json").contains("object or an array"));
    assert!(reason("control.json").contains("cannot hold the character"));
    assert!(reason("large.json").contains("larger than send.file_limit_bytes"));
    assert_eq!(fs::read_to_string(place.input().join("rejected/bad.json")).unwrap(), r#"{"a": "#);
    // The same again, then mended.
    place.drop_file("bad.json", r#"{"a": "#);
    assert!(place.send_once(&[]).expect(65).contains("1 set aside"));
    place.drop_file("bad.json", r#"{"a": 1}"#);
    assert!(place.send_once(&[]).expect(0).contains("1 sent"));
}

#[test]
fn a_file_that_is_still_written_is_left_until_it_is_whole() {
    let place = Place::new();
    let (_receiver, sender) = (place.receiver(), place.sender());
    let mut file = fs::File::create(place.input().join("slow.json")).unwrap();
    // What is there would be a document by itself, and is older than the time to settle.
    file.write_all(b"[1]").unwrap();
    place.drop_file("other.json", "[2]");
    place.wait_for(&expected([("other", "[2]".to_owned())]));
    let waits = || http1::get(&sender.metrics_address, "/metrics").contains("transfer_waiting_files 1");
    wait("a file that waits", waits);
    std::thread::sleep(Duration::from_millis(400));
    place.wait_for(&expected([("other", "[2]".to_owned())]));
    file.write_all(b"   ").unwrap();
    drop(file);
    place.wait_for(&expected([("other", "[2]".to_owned()), ("slow", "[1]".to_owned())]));
    assert!(!place.path("output/previous").exists(), "it was sent once");
}

#[test]
fn a_file_from_the_future_is_sent() {
    let place = Place::new();
    let _receiver = place.receiver();
    let file = fs::File::create(place.input().join("a.json")).unwrap();
    (&file).write_all(b"[1]").unwrap();
    file.set_modified(SystemTime::now() + Duration::from_hours(24)).unwrap();
    place.send_once(&[]).expect(0);
    place.wait_for(&expected([("a", "[1]".to_owned())]));
}

#[test]
fn a_change_of_the_folder_is_noticed_at_once() {
    let place = Place::new();
    let _receiver = place.receiver();
    let _sender = chassis::testing::Process::start(place.command(&["send"], &[("SCAN_INTERVAL", "3600")]));
    // The first round found nothing.
    place.drop_file("a.json", "[1]");
    place.wait_for(&expected([("a", "[1]".to_owned())]));
    fs::write(place.input().join("b.json"), "[2]").unwrap();
    place.wait_for(&expected([("a", "[1]".to_owned()), ("b", "[2]".to_owned())]));
}

#[test]
fn a_receiver_that_was_away_gets_everything_when_it_is_back() {
    let place = Place::new();
    let sender = place.sender();
    place.drop_file("a.json", "[1]");
    sender.wait_for_log("the receiver cannot be reached");
    let _receiver = place.receiver();
    place.wait_for(&expected([("a", "[1]".to_owned())]));
    wait("the gauges", || {
        let metrics = http1::get(&sender.metrics_address, "/metrics");
        ["waiting_files 0", "sent_files 1", "refused_files 0"]
            .iter()
            .all(|gauge| metrics.contains(&format!("transfer_{gauge}")))
    });
    assert!(http1::get(&sender.metrics_address, "/metrics").contains("transfer_last_success_age_seconds "));
    assert!(http1::get(&sender.metrics_address, "/readyz").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_file_that_the_receiver_refuses_is_tried_again_with_the_key_of_the_day() {
    let place = Place::new();
    let _receiver = place.receiver();
    let other = place.path("other-key");
    fs::write(&other, transfer::fernet::Key::generate().reveal()).unwrap();
    place.drop_file("a.json", "[1]");
    let wrong = [("ENCRYPTION_KEY", other.to_str().unwrap())];
    let text = place.send_once(&wrong).expect(65);
    assert!(text.contains("a.json refused: the receiver answered 400"), "{text}");
    // What is kept is the content, not its token.
    fs::remove_file(place.input().join("a.json")).unwrap();
    place.send_once(&[]).expect(0);
    place.wait_for(&expected([("a", "[1]".to_owned())]));
}

#[test]
fn a_file_that_is_too_large_for_the_receiver_is_set_aside_until_it_takes_it() {
    let place = Place::new();
    let limits = [("TRANSFER__SERVER__BODY_LIMIT_BYTES", "2000")];
    let receiver = chassis::testing::Process::start(place.command(&["receive"], &limits));
    let large = format!("[\"{}\"]", "x".repeat(2000));
    place.drop_file("large.json", &large);
    place.drop_file("small.json", "[1]");
    let text = place.send_once(&[]).expect(65);
    assert!(text.contains("1 sent, 1 set aside, 0 refused"), "{text}");
    let reason = fs::read_to_string(place.input().join("rejected/large.json.reason.txt")).unwrap();
    assert!(reason.contains("answered 413") && reason.contains("server.body_limit_bytes"), "{reason}");
    assert!(place.send_once(&[]).expect(0).contains("0 sent"), "it is not sent again");
    drop(receiver);
    let _receiver = place.receiver();
    fs::rename(place.input().join("rejected/large.json"), place.input().join("large.json")).unwrap();
    assert!(place.send_once(&[]).expect(0).contains("1 sent"));
    place.wait_for(&expected([("large", large), ("small", "[1]".to_owned())]));
}

#[test]
fn without_its_key_the_sender_says_so() {
    let place = Place::new();
    let text = place.send_once(&[("ENCRYPTION_KEY", "/nowhere/key")]).expect(69);
    assert!(text.contains("cannot read the key /nowhere/key"), "{text}");
    fs::write(place.path("key"), "short").unwrap();
    assert!(place.send_once(&[]).expect(64).contains("a key is 32 bytes in base64"));
}
