//! Answers that cost more to write than to keep: pictures, pages, and what is compressed.

use chassis::compression::CompressibleBody;
use http::HeaderValue;
use quick_cache::{Weighter, sync::Cache as QuickCache};

use super::query::{Fingerprint, Hash};

/// Names the content of an answer: equal tags mean equal bytes. It is a hash of everything that the answer is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(Hash);

impl From<Fingerprint> for Tag {
    fn from(fingerprint: Fingerprint) -> Self {
        Self(fingerprint.hash())
    }
}

impl Tag {
    /// As a strong `ETag`.
    #[must_use]
    pub fn etag(self) -> HeaderValue {
        let mut text = [b'"'; 2 + 2 * size_of::<Hash>()];
        let digits = 1..text.len() - 1;
        hex::encode_to_slice(self.0, &mut text[digits]).expect("two digits for each byte");
        HeaderValue::from_bytes(&text).expect("hexadecimal digits are a header value")
    }
}

/// Keeps answers by their tags, limited by their bytes. They are never outdated: other data has another tag.
#[derive(Debug)]
pub struct AnswerCache(Option<QuickCache<Tag, CompressibleBody, BySize>>);

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<Tag, CompressibleBody> for BySize {
    fn weight(&self, _: &Tag, body: &CompressibleBody) -> u64 {
        // The overhead of an entry: table slot, two allocations and their headers.
        const OVERHEAD: usize = 160;
        (body.weight() + OVERHEAD) as u64
    }
}

impl AnswerCache {
    /// An empty cache of so many bytes; 0 turns it off.
    #[must_use]
    pub fn new(size_bytes: u64) -> Self {
        let entries = usize::try_from(size_bytes / 4096).unwrap_or(usize::MAX).clamp(16, 10_000_000);
        Self((size_bytes > 0).then(|| QuickCache::with_weighter(entries, size_bytes, BySize)))
    }

    /// The answer with this tag.
    #[must_use]
    pub fn get(&self, tag: Tag) -> Option<CompressibleBody> {
        self.0.as_ref()?.get(&tag)
    }

    /// The answer with this tag, kept or made now.
    pub fn get_or_make<E>(
        &self,
        tag: Tag,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<CompressibleBody, E> {
        if let Some(body) = self.get(tag) {
            return Ok(body);
        }
        // Without the spare capacity, which the cache would hold but not count.
        let body = CompressibleBody::from(make()?.into_boxed_slice());
        if let Some(answers) = &self.0 {
            answers.insert(tag, body.clone());
        }
        Ok(body)
    }

    /// The bytes that the answers take.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.as_ref().map_or(0, QuickCache::weight)
    }
}
