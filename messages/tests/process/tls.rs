//! HTTPS: the pair that is made, versions, HTTP/2, reload.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use chassis::testing::{Process, run};

use crate::server::{certificate, client, command, made_certificate, start};

fn url(server: &Process) -> String {
    format!("https://localhost:{}/healthz", server.address.rsplit_once(':').unwrap().1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_made_once_and_is_trusted_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("certs").join(name);
    let server = start(folder.path(), &[]);
    let made = fs::read(path("localhost.crt")).unwrap();
    assert_eq!(fs::metadata(path("localhost.key")).unwrap().permissions().mode() & 0o777, 0o600);
    for url in [url(&server), format!("https://{}/healthz", server.address)] {
        let trusting = client([made_certificate(folder.path())]).build().unwrap();
        assert_eq!(trusting.get(&url).send().await.unwrap().status(), 200, "{url}");
        let unknowing = client([]).build().unwrap();
        assert!(unknowing.get(&url).send().await.is_err(), "nobody vouches for {url}");
    }
    server.signal("-TERM");
    server.end().expect(0);
    let server = start(folder.path(), &[]);
    assert_eq!(fs::read(path("localhost.crt")).unwrap(), made);
    drop(server);
    fs::remove_file(path("localhost.key")).unwrap();
    let refused = run(&mut command(folder.path(), &[])).expect(1);
    assert!(refused.contains("certs/localhost.key is missing"), "{refused}");
    assert!(!path("localhost.key").exists());
    // Its path is printed, even where the log is silent.
    fs::remove_file(path("localhost.crt")).unwrap();
    let silent = [("RUST_LOG", "off"), ("MESSAGES__SERVER__METRICS_HOST", "203.0.113.1")];
    let made = run(&mut command(folder.path(), &silent)).expect(1);
    assert!(made.contains("certs/localhost.crt"), "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_agreed_by_alpn_and_tls_1_2_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let trusting = || client([made_certificate(folder.path())]);
    let older = reqwest::tls::Version::TLS_1_2;
    for (client, version) in [
        (trusting(), http::Version::HTTP_2),
        (trusting().http1_only(), http::Version::HTTP_11),
        (trusting().tls_version_max(older), http::Version::HTTP_2),
        (trusting().tls_version_min(reqwest::tls::Version::TLS_1_3), http::Version::HTTP_2),
    ] {
        let answer = client.build().unwrap().get(url(&server)).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
}

/// A `ClientHello` of this version, with ciphers that it has and that a server of today has for TLS 1.2.
fn hello(version: [u8; 2]) -> Vec<u8> {
    // ECDHE with ECDSA: AES-128-GCM, AES-256-GCM, AES-128-CBC, AES-256-CBC.
    let ciphers = [0xc0, 0x2b, 0xc0, 0x2c, 0xc0, 0x09, 0xc0, 0x0a];
    let extensions = [
        // Groups: P-256.
        &[0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x17][..],
        // Point formats: uncompressed.
        &[0x00, 0x0b, 0x00, 0x02, 0x01, 0x00],
        // Signatures: ECDSA with P-256 and SHA-256.
        &[0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x04, 0x03],
        // Extended master secret.
        &[0x00, 0x17, 0x00, 0x00],
    ]
    .concat();
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, u8::try_from(ciphers.len()).unwrap()]);
    body.extend(ciphers);
    body.extend([1, 0, 0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()
}

#[test]
fn tls_1_1_is_refused_by_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let answer = |version: [u8; 2]| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&hello(version)).unwrap();
        let mut record = [0; 7];
        stream.read_exact(&mut record).unwrap();
        record
    };
    // A handshake record: this hello is one that a server answers.
    assert_eq!(answer([3, 3])[0], 22, "TLS 1.2");
    for (version, name) in [([3, 2], "TLS 1.1"), ([3, 1], "TLS 1.0"), ([3, 0], "SSL 3")] {
        let record = answer(version);
        // An alert, fatal, protocol_version.
        assert_eq!((record[0], record[5], record[6]), (21, 2, 70), "{name}");
    }
}

fn write_pair(folder: &Path) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("localhost.key"), pair.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("localhost.crt"), pair.cert.pem()).unwrap();
}

async fn until_trusted(server: &Process, file: &Path, patience: Duration) {
    let deadline = Instant::now() + patience;
    let url = url(server);
    // A new client each time: a connection that stands keeps its certificate.
    while client([certificate(file)]).build().unwrap().get(&url).send().await.is_err() {
        assert!(Instant::now() < deadline, "the new certificate is not used");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_new_certificate_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    // Between two looks at the files, of which there is one every two seconds.
    std::thread::sleep(Duration::from_millis(500));
    write_pair(&folder.path().join("certs"));
    server.signal("-HUP");
    std::thread::sleep(Duration::from_secs(3));
    server.signal("-TERM");
    let log = server.end().expect(0);
    assert_eq!(log.matches("certificate reloaded").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_on_sighup_or_by_itself_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    let file = certs.join("localhost.crt");
    let server = start(folder.path(), &[]);
    write_pair(&certs);
    server.signal("-HUP");
    until_trusted(&server, &file, Duration::from_secs(1)).await;
    write_pair(&certs);
    until_trusted(&server, &file, Duration::from_secs(15)).await;
    let last = made_certificate(folder.path());
    fs::write(&file, "nonsense").unwrap();
    server.signal("-HUP");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client([last]).build().unwrap().get(url(&server)).send().await.unwrap().status(), 200);
    server.signal("-TERM");
    let log = server.end().expect(0);
    assert!(log.contains("cannot use the new certificate"), "{log}");
}
