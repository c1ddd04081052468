use axum::body::Body;
use axum_server::accept::DefaultAcceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

const IDLE: Duration = Duration::from_millis(100);

/// Takes the first time for the head of its answer, and the second one for a body of unknown length.
#[derive(Clone)]
struct Slow;

impl Service<[Duration; 2]> for Slow {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Response<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, [head, body]: [Duration; 2]) -> Self::Future {
        async move {
            tokio::time::sleep(head).await;
            let piece = async move {
                tokio::time::sleep(body).await;
                io::Result::Ok(Bytes::from_static(b"piece"))
            };
            Ok(Response::new(Body::from_stream(piece.into_stream())))
        }
        .boxed()
    }
}

async fn connection() -> (Connection<DuplexStream>, Counted<Slow>, DuplexStream) {
    let (client, server) = tokio::io::duplex(64);
    let acceptor = ConnectionAcceptor { inner: DefaultAcceptor::new(), idle: IDLE };
    let (stream, service) = acceptor.accept(server, Slow).await.unwrap();
    (stream, service, client)
}

#[tokio::test]
async fn a_connection_that_asks_nothing_ends() {
    let (mut stream, _service, _client) = connection().await;
    let opened = Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(opened.elapsed() >= IDLE, "{:?}", opened.elapsed());
}

#[tokio::test]
async fn a_head_that_trickles_in_does_not_prolong_it() {
    let (mut stream, _service, mut client) = connection().await;
    let opened = Instant::now();
    let trickle = tokio::spawn(async move {
        while client.write_u8(b'x').await.is_ok() {
            tokio::time::sleep(IDLE / 4).await;
        }
    });
    while stream.read_u8().await.is_ok() {
        assert!(opened.elapsed() < 20 * IDLE, "it goes on for ever");
    }
    drop(stream);
    trickle.await.unwrap();
}

#[tokio::test]
async fn a_long_answer_is_waited_for_and_the_time_counts_from_its_end() {
    let (mut stream, mut service, _client) = connection().await;
    let answer = service.call([3 * IDLE, Duration::ZERO]);
    let answer = tokio::spawn(async move { drop(answer.await.unwrap()) });
    let opened = Instant::now();
    stream.read_u8().await.unwrap_err();
    assert!(opened.elapsed() >= 4 * IDLE, "{:?}", opened.elapsed());
    answer.await.unwrap();
}

#[tokio::test]
async fn a_body_that_comes_slowly_keeps_the_connection_open() {
    let (mut stream, mut service, _client) = connection().await;
    let answer = service.call([Duration::ZERO, 3 * IDLE]).await.unwrap();
    let opened = Instant::now();
    let sending = tokio::spawn(axum::body::to_bytes(Body::new(answer.into_body()), 10));
    stream.read_u8().await.unwrap_err();
    assert!(opened.elapsed() >= 4 * IDLE, "{:?}", opened.elapsed());
    assert_eq!(sending.await.unwrap().unwrap(), "piece");
}

#[tokio::test]
async fn what_is_written_counts_as_an_answer() {
    let (mut stream, _service, mut client) = connection().await;
    let opened = Instant::now();
    tokio::time::sleep(IDLE / 2).await;
    stream.write_u8(b'x').await.unwrap();
    client.read_u8().await.unwrap();
    stream.read_u8().await.unwrap_err();
    assert!(opened.elapsed() >= IDLE * 3 / 2, "{:?}", opened.elapsed());
}

#[tokio::test]
async fn a_list_of_any_size_is_written_in_its_order() {
    for length in [1, ONE_PIECE / 2, ONE_PIECE] {
        let (mut stream, _service, mut client) = connection().await;
        let (head, body) = (vec![b'h'; length], vec![b'b'; length]);
        let sent = [head.clone(), body.clone()].concat();
        let reading = tokio::spawn(async move {
            let mut received = vec![0; 2 * length];
            client.read_exact(&mut received).await.unwrap();
            received
        });
        let mut parts = [io::IoSlice::new(&head), io::IoSlice::new(&body)];
        let mut left = &mut parts[..];
        while !left.is_empty() {
            let written = stream.write_vectored(left).await.unwrap();
            io::IoSlice::advance_slices(&mut left, written);
        }
        assert!(reading.await.unwrap() == sent, "of twice {length} bytes");
    }
}
