//! Finished answers, bounded by their bytes.
//!
//! The key of an answer holds the version of the data it was made of, so an entry is never outdated, only no longer
//! asked for: nothing is ever invalidated, and what lost its use is the first to go. Requests with equal keys share
//! one query.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use http::HeaderValue;
use quick_cache::{Weighter, sync::Cache as QuickCache};

use crate::{
    http::answer::Form,
    lanes::query::{Order, Picture, PlaceName, RatesQuery, Statistics, Theme},
};

/// A finished answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The body as sent.
    pub body: Bytes,
    /// Strong: equal tags are equal bytes.
    pub etag: HeaderValue,
    /// The version of the data it was made of.
    pub version: i64,
}

/// The normalised request and a data version, as bytes: no allocation to look up.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    bytes: [u8; Self::CAPACITY],
    length: usize,
}

impl Key {
    /// Two names and the length of each.
    const LANE: usize = 2 * (1 + PlaceName::MAX_LENGTH);
    const CAPACITY: usize = 8 + 4 + 4 + 1 + 1 + 1 + 2 + 2 + (1 + Picture::MAX_COMPARED) * Self::LANE;

    /// The key of an answer to `query` in this form, by the data of `version`.
    #[must_use]
    pub fn new(version: i64, query: &RatesQuery<'_>, form: &Form<'_>) -> Self {
        let mut key = Self { bytes: [0; Self::CAPACITY], length: 0 };
        key.push(&version.to_le_bytes());
        key.push(&query.from.to_epoch_days().to_le_bytes());
        key.push(&query.to.to_epoch_days().to_le_bytes());
        key.push(&[u8::from(query.order == Order::OldestFirst)]);
        key.push(&[u8::from(query.statistics == Statistics::Full)]);
        key.push_place(&query.origin);
        key.push_place(&query.destination);
        match form {
            Form::Json => key.push(&[0]),
            Form::Csv => key.push(&[1]),
            Form::Svg(picture) => {
                key.push(&[if picture.theme == Theme::Dark { 3 } else { 2 }]);
                key.push(&picture.width.to_le_bytes());
                key.push(&picture.height.to_le_bytes());
                for (origin, destination) in &picture.compare {
                    key.push_place(origin);
                    key.push_place(destination);
                }
            }
        }
        key
    }

    /// With its length, which keeps "AB" + "C" apart from "A" + "BC".
    fn push_place(&mut self, place: &PlaceName<'_>) {
        let name = place.as_ref().as_bytes();
        self.push(&[u8::try_from(name.len()).unwrap_or(u8::MAX)]);
        self.push(name);
    }

    fn push(&mut self, part: &[u8]) {
        self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The strong tag of the answer with this key. It changes with the data and with the program, whose next version
    /// may write the same data differently.
    #[must_use]
    pub fn etag(&self) -> HeaderValue {
        // FNV-1a: the same on every instance and in every build, as the standard hasher does not promise to be.
        const REVISION: &[u8] = env!("CARGO_PKG_VERSION").as_bytes();
        let hash = REVISION.iter().chain(self.as_slice()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        HeaderValue::from_str(&format!("\"{hash:016x}\"")).expect("hexadecimal digits are a header value")
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Vec<u8>, Answer> for ByBytes {
    fn weight(&self, key: &Vec<u8>, answer: &Answer) -> u64 {
        // Bookkeeping of an entry, measured: table slot, two allocations and their headers.
        const OVERHEAD: usize = 256;
        (key.len() + answer.body.len() + answer.etag.len() + OVERHEAD) as u64
    }
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    /// None where it is configured off.
    answers: Option<QuickCache<Vec<u8>, Answer, ByBytes>>,
    /// Not the store's own count: a request may look more than once before its answer is made.
    misses: AtomicU64,
}

impl Cache {
    /// A cache of about `size_bytes` bytes; 0 is off.
    #[must_use]
    pub fn new(size_bytes: u64) -> Self {
        // An answer for a month has some 2 kB.
        let entries = usize::try_from(size_bytes / 2048).unwrap_or(usize::MAX).clamp(16, 10_000_000);
        let answers = (size_bytes > 0).then(|| QuickCache::with_weighter(entries, size_bytes, ByBytes));
        Self { answers, misses: AtomicU64::new(0) }
    }

    /// The answer with this key, if it is there.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Answer> {
        self.answers.as_ref()?.get(key.as_slice())
    }

    /// The answer with this key, or the one that `make` makes; callers with equal keys wait for one of them to make it.
    /// An answer of older data than the key's is passed on and not kept; one of newer data may stand in for it.
    pub async fn get_or_make<E>(
        &self,
        key: &Key,
        version: i64,
        make: impl Future<Output = Result<Answer, E>>,
    ) -> Result<Answer, E> {
        let Some(cache) = &self.answers else {
            return make.await;
        };
        match cache.get_value_or_guard_async(key.as_slice()).await {
            Ok(answer) => Ok(answer),
            Err(guard) => {
                let answer = make.await?;
                if answer.version >= version {
                    // Fails only if the entry was removed meanwhile; the answer is right all the same.
                    let _ = guard.insert(answer.clone());
                }
                Ok(answer)
            }
        }
    }

    /// Keeps an answer.
    pub fn put(&self, key: &Key, answer: &Answer) {
        if let Some(cache) = &self.answers {
            cache.insert(key.as_slice().to_vec(), answer.clone());
        }
    }

    /// Lookups that found an answer.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.answers.as_ref().map_or(0, QuickCache::hits)
    }

    /// Counts an answer that has to be made.
    pub(crate) fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers that had to be made.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Bytes held now.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.answers.as_ref().map_or(0, QuickCache::weight)
    }
}
