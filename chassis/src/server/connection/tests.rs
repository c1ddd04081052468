use axum::body::Body;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

const IDLE: Duration = Duration::from_millis(100);

/// Takes the first time for the head of its answer, and the second one for a body of unknown length.
#[derive(Clone)]
struct Slow;

impl Service<Request<[Duration; 2]>> for Slow {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Response<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<[Duration; 2]>) -> Self::Future {
        let [head, body] = request.into_body();
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

const WRITE: Duration = Duration::from_millis(300);

struct Ends {
    stream: Connection<DuplexStream>,
    service: Counted<Slow>,
    client: DuplexStream,
    port: Arc<State>,
}

fn connection() -> Ends {
    let (client, server) = tokio::io::duplex(64);
    let port = Arc::new(State::new());
    let activity = Arc::new(Activity::new(Arc::clone(&port)));
    let stream = Connection::new(server, Arc::clone(&activity), Timeouts { idle: IDLE, write: WRITE });
    let service = Counted::new(Slow, SocketAddr::from(([127, 0, 0, 1], 1)), activity);
    Ends { stream, service, client, port }
}

#[tokio::test]
async fn a_connection_that_asks_nothing_ends() {
    let Ends { mut stream, client: _client, .. } = connection();
    let opened = Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(opened.elapsed() >= IDLE, "{:?}", opened.elapsed());
}

#[tokio::test]
async fn a_head_that_trickles_in_does_not_prolong_it() {
    let Ends { mut stream, mut client, .. } = connection();
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
    let Ends { mut stream, mut service, client: _client, .. } = connection();
    let answer = service.call(Request::new([3 * IDLE, Duration::ZERO]));
    let answer = tokio::spawn(async move { drop(answer.await.unwrap()) });
    let opened = Instant::now();
    stream.read_u8().await.unwrap_err();
    assert!(opened.elapsed() >= 4 * IDLE, "{:?}", opened.elapsed());
    answer.await.unwrap();
}

#[tokio::test]
async fn a_body_that_comes_slowly_keeps_the_connection_open() {
    let Ends { mut stream, mut service, client: _client, .. } = connection();
    let answer = service.call(Request::new([Duration::ZERO, 3 * IDLE])).await.unwrap();
    let opened = Instant::now();
    let sending = tokio::spawn(axum::body::to_bytes(Body::new(answer.into_body()), 10));
    stream.read_u8().await.unwrap_err();
    assert!(opened.elapsed() >= 4 * IDLE, "{:?}", opened.elapsed());
    assert_eq!(sending.await.unwrap().unwrap(), "piece");
}

#[tokio::test]
async fn what_is_written_counts_as_an_answer() {
    let Ends { mut stream, mut client, .. } = connection();
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
        let Ends { mut stream, mut client, .. } = connection();
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

#[tokio::test]
async fn a_client_that_reads_nothing_ends_it_and_one_that_reads_slowly_does_not() {
    let Ends { mut stream, mut client, .. } = connection();
    let slow = tokio::spawn(async move {
        for _ in 0..6 {
            tokio::time::sleep(WRITE / 3).await;
            client.read_exact(&mut [0; 64]).await.unwrap();
        }
        client
    });
    stream.write_all(&[b'x'; 6 * 64]).await.unwrap();
    // Filled again, so that nothing more can be written.
    let _client = slow.await.unwrap();
    stream.write_all(&[b'x'; 64]).await.unwrap();
    let blocked = Instant::now();
    let error = stream.write_u8(b'x').await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(blocked.elapsed() >= WRITE, "{:?}", blocked.elapsed());
}

#[tokio::test]
async fn over_http_1_a_port_that_is_left_asks_to_close_the_connection() {
    let Ends { mut service, port, .. } = connection();
    for (version, is_leaving, expected) in [
        (Version::HTTP_11, false, None),
        (Version::HTTP_11, true, Some("close")),
        (Version::HTTP_10, true, Some("close")),
        (Version::HTTP_2, true, None),
    ] {
        if is_leaving {
            port.leave();
        }
        let mut request = Request::new([Duration::ZERO; 2]);
        *request.version_mut() = version;
        let answer = service.call(request).await.unwrap();
        let header = answer.headers().get(header::CONNECTION).map(|value| value.to_str().unwrap());
        assert_eq!(header, expected, "{version:?}, leaving: {is_leaving}");
    }
}
