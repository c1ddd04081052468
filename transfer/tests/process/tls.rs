//! TLS with an authority that the sender names.

use std::fs;

use chassis::testing::Process;

use crate::place::{Place, expected};

#[test]
fn only_the_authority_that_is_named_is_trusted() {
    let place = Place::new();
    for name in ["right", "wrong"] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(place.path(&format!("{name}.crt")), made.cert.pem()).unwrap();
        fs::write(place.path(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let (certificate, key, wrong) = (path("right.crt"), path("right.key"), path("wrong.crt"));
    let tls = [
        ("TRANSFER__SERVER__TLS_CERTIFICATE_FILE", &*certificate),
        ("TRANSFER__SERVER__TLS_KEY_FILE", &*key),
    ];
    let _receiver = Process::start(place.command(&["receive"], &tls));
    place.drop_file("a.json", "[1]");
    let address = ("RECEIVER_ADDRESS", "https://localhost");
    for authority in ["", &wrong] {
        let text = place.send_once(&[address, ("TRANSFER__RECEIVER__TLS_CA_FILE", authority)]).expect(69);
        assert!(text.contains("certificate"), "{text}");
    }
    place.send_once(&[address, ("TRANSFER__RECEIVER__TLS_CA_FILE", &certificate)]).expect(0);
    place.wait_for(&expected([("a", "[1]".to_owned())]));
}
