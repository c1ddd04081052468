//! Content codings: which one a client prefers, and bodies that keep their compressed forms.
//!
//! Compressing costs far more than the rest of a cached answer. So large bodies are compressed on other threads, a few
//! at a time, and the body of a cached answer is compressed once for each coding.

use std::{
    cell::RefCell,
    io::Write,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::available_parallelism,
};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use tokio::{
    sync::{OnceCell, Semaphore},
    task::spawn_blocking,
};

/// In bytes. A smaller body fits into one packet with its head, so compression gains nothing.
pub(crate) const SMALL: usize = 1024;

/// A way to compress, in the order that we prefer if the client has no preference: zstd takes a fifth of the time of
/// the others, brotli makes fewer bytes than gzip, and every client knows gzip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

thread_local! {
    /// For bodies that are compressed in place: making a context costs more than compressing a usual answer.
    static ZSTD: RefCell<zstd::bulk::Compressor<'static>> =
        RefCell::new(zstd::bulk::Compressor::new(1).expect("a level of zstd"));
}

impl Coding {
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// In bytes. Up to here a body that is not kept is compressed in place, in about the time that another thread needs
    /// to wake. It also limits the memory of the contexts that threads keep.
    fn in_place(self) -> usize {
        match self {
            Self::Zstd => 32 * 1024,
            Self::Brotli | Self::Gzip => 8 * 1024,
        }
    }

    /// The name in `Accept-Encoding` and `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The one that these `Accept-Encoding` headers rank highest; none if they prefer the plain body.
    pub(crate) fn preferred<'h>(headers: impl IntoIterator<Item = &'h str>) -> Option<Self> {
        let mut weights = [None; Self::ALL.len()];
        let (mut others, mut plain) = (None, None);
        for item in headers.into_iter().flat_map(|header| header.split(',')) {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight: f32 = weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            if let Some(coding) = Self::ALL.into_iter().find(|coding| is(coding.name())) {
                weights[coding as usize] = Some(weight);
            } else if is("x-gzip") {
                weights[Self::Gzip as usize] = Some(weight);
            } else if is("identity") {
                plain = Some(weight);
            } else if is("*") {
                others = Some(weight);
            }
        }
        let mut best = (None, 0.0_f32);
        for coding in Self::ALL {
            let weight = weights[coding as usize].or(others).unwrap_or(0.0);
            if weight > best.1 {
                best = (Some(coding), weight);
            }
        }
        // Without a weight of its own, the plain body is merely acceptable.
        best.0.filter(|_| plain.is_none_or(|plain| plain <= best.1))
    }

    /// Compresses at little cost where the result is used once, and smaller where it is kept.
    fn encode(self, plain: &[u8], is_kept: bool) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Brotli => {
                // 2^22 bytes is the window that every decoder must have. With the quality, it decides the memory.
                let (quality, window) = if is_kept { (5, 22) } else { (1, 18) };
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, quality, window);
                encoder.write_all(plain)?;
                Ok(encoder.into_inner())
            }
            Self::Zstd if plain.len() <= self.in_place() && !is_kept => {
                ZSTD.with_borrow_mut(|zstd| zstd.compress(plain))
            }
            Self::Zstd => zstd::bulk::compress(plain, if is_kept { 6 } else { 1 }),
            Self::Gzip => {
                let level = flate2::Compression::new(if is_kept { 6 } else { 1 });
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(plain)?;
                encoder.finish()
            }
        }
    }

    /// The same on a blocking thread, in turn with others; none if the result would not be smaller.
    async fn encode_elsewhere(self, plain: Bytes, is_kept: bool) -> Option<Bytes> {
        // Half of the processors; the others are for answers.
        static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
            let processors = available_parallelism().map_or(1, usize::from);
            Arc::new(Semaphore::new((processors / 2).max(1)))
        });
        let place = Arc::clone(&PLACES).acquire_owned().await.ok()?;
        let encoding = spawn_blocking(move || {
            // Held until the work is done, even if its caller has left.
            let _place = place;
            self.encode(&plain, is_kept).ok().filter(|form| form.len() < plain.len())
        });
        // Without spare capacity, which would be held and not counted.
        Some(Bytes::from(encoding.await.ok()??.into_boxed_slice()))
    }

    /// Compresses a body that is not kept; none if that would not make it smaller.
    pub(crate) async fn compress(self, plain: Bytes) -> Option<Bytes> {
        if plain.len() > self.in_place() {
            return self.encode_elsewhere(plain, false).await;
        }
        self.encode(&plain, false).ok().filter(|form| form.len() < plain.len()).map(Bytes::from)
    }
}

/// A body that is kept for many answers, with its compressed forms; cheap to clone. As a response it is sent in the
/// form that the client prefers. The first compressed answer is made at little cost and not kept, since many bodies are
/// asked for only once; from the second on, each form is made once, and smaller.
#[derive(Debug, Clone)]
pub struct CompressibleBody(Arc<Forms>);

#[derive(Debug)]
struct Forms {
    plain: Bytes,
    /// By coding. A cell with `None`: the compressed form is too large to be kept.
    compressed: [OnceCell<Option<Bytes>>; Coding::ALL.len()],
    /// What further forms may take, in bytes.
    room: AtomicUsize,
    /// Whether a compressed form was wanted before.
    was_wanted: AtomicBool,
}

impl CompressibleBody {
    /// The memory of the body with all forms, in bytes. It does not change: room for forms that are not made yet is
    /// included (half of the plain bytes and a little), and a form that would need more is not kept.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Forms>() + self.0.plain.len() + room(&self.0.plain)
    }

    /// The compressed form, if it has been made. The inner `None` means: send the plain body.
    pub(crate) fn made(&self, coding: Coding) -> Option<&Option<Bytes>> {
        self.0.compressed[coding as usize].get()
    }

    /// The compressed form, made now if it is missing; concurrent callers wait for it. `None` means: send the plain
    /// body.
    pub(crate) async fn make(&self, coding: Coding) -> Option<Bytes> {
        if !self.0.was_wanted.swap(true, Ordering::Relaxed) {
            return coding.compress(self.0.plain.clone()).await;
        }
        let make = async || {
            let form = coding.encode_elsewhere(self.0.plain.clone(), true).await?;
            let take = |room: usize| room.checked_sub(form.len());
            self.0.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok().then_some(form)
        };
        self.0.compressed[coding as usize].get_or_init(make).await.clone()
    }
}

/// The bytes that compressed forms of this body may take.
fn room(plain: &Bytes) -> usize {
    // A small body compresses to a larger part of it.
    if plain.len() > SMALL { plain.len() / 2 + 256 } else { 0 }
}

impl<B: Into<Bytes>> From<B> for CompressibleBody {
    fn from(plain: B) -> Self {
        let plain = plain.into();
        let room = AtomicUsize::new(room(&plain));
        let was_wanted = AtomicBool::new(false);
        Self(Arc::new(Forms { plain, compressed: Default::default(), room, was_wanted }))
    }
}

/// The edge sends the form that the client prefers.
impl IntoResponse for CompressibleBody {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.0.plain.clone()));
        if self.0.plain.len() > SMALL {
            response.extensions_mut().insert(self);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_is_the_one_that_the_client_ranks_highest() {
        const BROTLI: Option<Coding> = Some(Coding::Brotli);
        const ZSTD: Option<Coding> = Some(Coding::Zstd);
        const GZIP: Option<Coding> = Some(Coding::Gzip);
        for (header, expected) in [
            ("gzip, deflate, br, zstd", ZSTD),
            ("gzip, deflate, br", BROTLI),
            ("gzip, deflate", GZIP),
            ("GZip;Q=0.5", GZIP),
            ("x-gzip", GZIP),
            ("br;q=0.5, gzip;q=0.8, zstd;q=0.1", GZIP),
            ("zstd;q=0, *", BROTLI),
            ("*;q=0.1, gzip;q=0", ZSTD),
            ("gzip;q=0.5, identity", None),
            ("gzip;q=0.5, identity;q=0.5", GZIP),
            ("gzip;q=0", None),
            ("gzip;q=nonsense", None),
            ("identity", None),
            ("deflate", None),
            ("", None),
        ] {
            assert_eq!(Coding::preferred([header]), expected, "{header:?}");
        }
        assert_eq!(Coding::preferred(["zstd;q=0.1", "br"]), BROTLI, "of two headers");
    }

    #[tokio::test]
    async fn a_form_is_made_once_and_within_the_weight() {
        let text = "what is said often ".repeat(1000);
        let body = CompressibleBody::from(text.clone());
        let weight = body.weight();
        let first = body.make(Coding::Gzip).await.unwrap();
        assert!(first.len() < text.len() / 10 && body.made(Coding::Gzip).is_none(), "the first is not kept");
        for coding in Coding::ALL {
            assert!(body.made(coding).is_none(), "{coding:?}");
            let (one, other) = tokio::join!(body.make(coding), body.make(coding));
            let (one, other) = (one.unwrap(), other.unwrap());
            assert_eq!(one.as_ptr(), other.as_ptr(), "{coding:?} was made twice");
            assert!(one.len() < text.len() / 10, "{coding:?}: {} bytes", one.len());
            assert_eq!(body.made(coding).unwrap().as_ref().unwrap(), &one);
        }
        assert_eq!(body.weight(), weight);

        let noise: Vec<u8> = (0..20_000).map(|_| fastrand::u8(b'0'..b'p')).collect();
        let body = CompressibleBody::from(noise);
        body.make(Coding::Gzip).await;
        for coding in Coding::ALL {
            assert_eq!(body.make(coding).await, None, "{coding:?}: it would need more than its room");
            assert_eq!(body.made(coding), Some(&None), "it is not tried again");
        }
    }
}
