//! Killed at any point: each file arrives whole, once, and none is lost.

use std::time::{Duration, Instant};

use crate::place::{Place, expected};

const FILES: usize = 300;
const ROUNDS: u64 = 24;

fn document(number: usize) -> String {
    // Some of many pages, so that a kill can meet half a file.
    let filling = "x".repeat(if number.is_multiple_of(10) { 200_000 } else { 50 });
    format!(r#"{{"number": {number}, "filling": "{filling}"}}"#)
}

#[test]
fn kills_of_either_side_lose_nothing_and_repeat_nothing() {
    let place = Place::new();
    let (mut receiver, mut sender) = (place.receiver(), place.sender());
    for round in 0..ROUNDS {
        for number in (0..FILES).filter(|number| *number as u64 % ROUNDS == round) {
            place.drop_file(&format!("file-{number}.json"), &document(number));
        }
        // Anywhere in the work of the round, and sometimes after it.
        let deadline = Instant::now() + Duration::from_millis(3 + round * 7 % 60);
        while Instant::now() < deadline {
            std::thread::yield_now();
        }
        if round % 2 == 0 {
            sender.signal("-KILL");
            drop(sender);
            sender = place.sender();
        } else {
            receiver.signal("-KILL");
            drop(receiver);
            receiver = place.receiver();
        }
    }
    // A second content under a name would be in the folder `previous`.
    place.wait_for(&expected((0..FILES).map(|number| (format!("file-{number}"), document(number)))));
    sender.signal("-TERM");
    sender.end().expect(0);
    receiver.signal("-TERM");
    let log = receiver.end().expect(0);
    assert!(!log.contains("\"level\":\"ERROR\""), "{log}");
}

#[test]
fn a_content_that_was_kept_is_sent_after_a_kill_though_its_file_is_gone() {
    let place = Place::new();
    place.drop_file("a.json", "[1]");
    // Nobody receives.
    place.send_once(&[]).expect(69);
    std::fs::remove_file(place.input().join("a.json")).unwrap();
    let _receiver = place.receiver();
    place.send_once(&[]).expect(0);
    place.wait_for(&expected([("a", "[1]".to_owned())]));
}

#[test]
fn a_thousand_files_at_once_all_arrive() {
    let place = Place::new();
    let (_receiver, _sender) = (place.receiver(), place.sender());
    for number in 0..1000 {
        place.drop_file(&format!("{number}.json"), &format!("[{number}]"));
    }
    place.wait_for(&expected((0..1000).map(|number| (number.to_string(), format!("[{number}]")))));
}
