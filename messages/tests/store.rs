//! What a store promises, asked of every kind of store.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use messages::{digest::Digest, store::Store};
use support::{redis::Redis, store};

/// The contract. Leaves `kept` in the store.
async fn keeps_its_promises(store: &Arc<dyn Store>) {
    store.ping().await.unwrap();
    let texts = ["", "foo", "\0", "\u{1F6A2} größer", "\r\n\"\\", &"x".repeat(1 << 20)];
    for text in texts {
        let (digest, bytes) = (Digest::of(text.as_bytes()), Bytes::from(text.to_owned()));
        let shown: String = text.chars().take(20).collect();
        assert_eq!(store.get(digest).await.unwrap(), None, "{shown:?}");
        assert!(!store.delete(digest).await.unwrap(), "{shown:?} is not there");
        assert!(store.put(digest, bytes.clone()).await.unwrap(), "{shown:?} is new");
        assert!(!store.put(digest, bytes.clone()).await.unwrap(), "{shown:?} is there");
        assert_eq!(store.get(digest).await.unwrap(), Some(bytes.clone()), "{shown:?}");
        assert!(store.delete(digest).await.unwrap(), "{shown:?} is there");
        assert!(!store.delete(digest).await.unwrap(), "{shown:?} is gone");
        assert_eq!(store.get(digest).await.unwrap(), None, "{shown:?}");
        assert!(store.put(digest, bytes).await.unwrap(), "{shown:?} is new again");
    }
    for round in 0..20 {
        let text = format!("of many {round}");
        let digest = Digest::of(text.as_bytes());
        let put = || store.put(digest, Bytes::from(text.clone()));
        assert_eq!(winners(store, |_| put()).await, 1, "one of 32 stores it");
        assert_eq!(winners(store, |store| store.delete(digest)).await, 1, "one of 32 deletes it");
    }
    store.put(Digest::of(b"kept"), Bytes::from_static(b"kept")).await.unwrap();
}

/// How many of 32 that ask at once are told that they did it.
async fn winners<'a>(
    store: &'a Arc<dyn Store>,
    ask: impl Fn(&'a Arc<dyn Store>) -> messages::store::Answer<'a, bool>,
) -> usize {
    let mut waiting: Vec<_> = (0..32).map(|_| ask(store)).collect();
    let mut answers = 0;
    let mut won = 0;
    // Polled in turn by one task: all have asked before the first is answered.
    std::future::poll_fn(|context| {
        waiting.retain_mut(|answer| match answer.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                answers += 1;
                won += usize::from(answer.unwrap());
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    assert_eq!(answers, 32);
    won
}

async fn still_has_what_was_kept(store: &Arc<dyn Store>) {
    let kept = store.get(Digest::of(b"kept")).await.unwrap();
    assert_eq!(kept, Some(Bytes::from_static(b"kept")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_its_promises_and_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/folder/messages.redb");
    let variables = [("MESSAGES_FILE", file.to_str().unwrap())];
    let first = store(&variables);
    keeps_its_promises(&first).await;
    let second = messages::store::open(&support::settings(&variables)).err().unwrap().to_string();
    assert!(second.contains("messages.redb"), "two processes must not share a file: {second}");
    drop(first);
    // The writer's thread lets go of the file when it has seen the end of its queue.
    let again = loop {
        match messages::store::open(&support::settings(&variables)) {
            Ok(store) => break store,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    still_has_what_was_kept(&again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_its_promises_and_its_messages() {
    let Some(mut redis) = Redis::start(&["--requirepass", "hush"]) else { return };
    let port = redis.port_text();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "hush\n").unwrap();
    let variables = [
        ("MESSAGES_REDIS_HOST", "127.0.0.1"),
        ("MESSAGES_REDIS_PORT", &port),
        ("MESSAGES_REDIS_PASSWORD_FILE", password.to_str().unwrap()),
    ];
    let connected = store(&variables);
    keeps_its_promises(&connected).await;
    redis.kill();
    assert!(connected.get(Digest::of(b"kept")).await.is_err(), "Redis is gone");
    redis.start_again();
    // The same store finds the way back by itself.
    still_has_what_was_kept(&connected).await;
    // Nor does a restart that nobody saw cost the next reader an error.
    redis.kill();
    redis.start_again();
    still_has_what_was_kept(&connected).await;
    let locked_out = store(&[("MESSAGES_REDIS_HOST", &format!("127.0.0.1:{port}"))]);
    assert!(locked_out.ping().await.is_err(), "a wrong password is not a store that works");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_over_tls_keeps_its_promises() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path("redis.crt"), pair.cert.pem()).unwrap();
    std::fs::write(path("redis.key"), pair.signing_key.serialize_pem()).unwrap();
    let arguments = ["--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no"];
    let files = ["--tls-cert-file", &path("redis.crt"), "--tls-key-file", &path("redis.key")];
    let authority = ["--tls-ca-cert-file", &path("redis.crt")];
    let Some(redis) = Redis::start(&[&arguments[..], &files, &authority].concat()) else { return };
    let host = format!("localhost:{}", redis.port);
    let tls = [("MESSAGES_REDIS_HOST", host.as_str()), ("MESSAGES_REDIS_TLS", "true")];
    let trusting = store(&[&tls[..], &[("MESSAGES_REDIS_TLS_CA_FILE", &path("redis.crt"))]].concat());
    keeps_its_promises(&trusting).await;
    assert!(store(&tls).ping().await.is_err(), "nobody vouches for this certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_its_promises() {
    let Some(redis) = Redis::start(&["--cluster-enabled", "yes"]) else { return };
    let client = redis::Client::open(("127.0.0.1", redis.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd("CLUSTER");
    command.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    command.query_async::<()>(&mut connection).await.unwrap();
    let host = format!("127.0.0.1:{}", redis.port);
    let store = store(&[
        ("MESSAGES_REDIS_HOST", &host),
        ("MESSAGES_REDIS_CLUSTER", "true"),
        ("MESSAGES__REDIS__CLUSTER_READ_REPLICAS", "true"),
    ]);
    // A new cluster takes a moment to find itself whole.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while let Err(error) = store.ping().await {
        assert!(std::time::Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    keeps_its_promises(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_to_the_replica_and_to_the_primary_for_what_it_lacks() {
    let (Some(primary), Some(mut replica)) = (Redis::start(&[]), Redis::start(&[])) else { return };
    let at = |redis: &Redis| format!("127.0.0.1:{}", redis.port);
    // Not a replica really, so that it is seen who was asked.
    let on_replica = store(&[("MESSAGES_REDIS_HOST", &at(&replica))]);
    on_replica.put(Digest::of(b"there"), Bytes::from_static(b"there")).await.unwrap();
    let store =
        store(&[("MESSAGES_REDIS_HOST", &at(&primary)), ("MESSAGES_REDIS_READ_HOSTS", &at(&replica))]);
    assert!(store.get(Digest::of(b"there")).await.unwrap().is_some(), "the replica is read");
    assert!(store.put(Digest::of(b"here"), Bytes::from_static(b"here")).await.unwrap());
    assert!(on_replica.get(Digest::of(b"here")).await.unwrap().is_none(), "the primary is written");
    assert!(store.get(Digest::of(b"here")).await.unwrap().is_some(), "what the replica lacks is found");
    replica.kill();
    assert!(store.get(Digest::of(b"here")).await.unwrap().is_some(), "the primary stands in");
    replica.start_again();
    until_read(&store, b"there").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_hangs_is_waited_for_once() {
    let (Some(primary), Some(replica)) = (Redis::start(&[]), Redis::start(&[])) else { return };
    let at = |redis: &Redis| format!("127.0.0.1:{}", redis.port);
    let on_replica = store(&[("MESSAGES_REDIS_HOST", &at(&replica))]);
    on_replica.put(Digest::of(b"there"), Bytes::from_static(b"there")).await.unwrap();
    // It takes connections and never answers.
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hosts = format!("{},{}", hanging.local_addr().unwrap(), at(&replica));
    let store = store(&[
        ("MESSAGES_REDIS_HOST", &at(&primary)),
        ("MESSAGES_REDIS_READ_HOSTS", &hosts),
        ("MESSAGES__REDIS__TIMEOUT_SECONDS", "0.5"),
    ]);
    let digest = Digest::of(b"there");
    let start = std::time::Instant::now();
    let first = store.get(digest).await.unwrap();
    assert_eq!(first, None, "the primary answers, which has it not");
    assert!(start.elapsed().as_secs_f64() > 0.4, "the hanging one was asked");
    let start = std::time::Instant::now();
    for _ in 0..20 {
        assert!(store.get(digest).await.unwrap().is_some(), "the other replica has all reads");
    }
    assert!(start.elapsed().as_secs_f64() < 0.4, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_read_of_a_server_that_hangs_is_not_tried_twice() {
    // It takes connections and never answers.
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = store(&[
        ("MESSAGES_REDIS_HOST", &hanging.local_addr().unwrap().to_string()),
        ("MESSAGES__REDIS__TIMEOUT_SECONDS", "0.5"),
    ]);
    let start = std::time::Instant::now();
    assert!(store.get(Digest::of(b"foo")).await.is_err());
    // Two timeouts, since connecting is tried twice.
    assert!(start.elapsed().as_secs_f64() < 1.8, "{:?}", start.elapsed());
}

/// Waits until a message that the replica alone has is found.
async fn until_read(store: &Arc<dyn Store>, message: &[u8]) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while store.get(Digest::of(message)).await.unwrap().is_none() {
        assert!(std::time::Instant::now() < deadline, "the replica is not asked again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
