//! Fernet tokens, as Python's `cryptography.fernet` makes and reads them: base64 (URL alphabet) of a version byte, a
//! time, an IV, AES-128-CBC of the content, and the HMAC-SHA-256 of all that.

use std::{
    io::{self, Read, Seek, Write},
    time::SystemTime,
};

use aes::{
    Aes128,
    cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7},
};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_URL_SAFE,
    read::DecoderReader,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const VERSION: u8 = 0x80;
const BLOCK: usize = 16;
/// Version, time and IV.
const HEADER: usize = 1 + 8 + BLOCK;
const SIGNATURE: usize = 32;
/// How much of a file is in memory at a time.
const PIECE: usize = 64 * 1024;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const URL_ALPHABET: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// 16 bytes that sign, then 16 bytes that encrypt.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// Reads 32 bytes in either base64 alphabet, with or without padding.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().replace('+', "-").replace('/', "_");
        URL_ALPHABET.decode(&text).ok()?.try_into().ok().map(Self)
    }

    /// A new key.
    #[must_use]
    pub fn generate() -> Self {
        Self(random())
    }

    /// The key in the URL alphabet, as it stands in files.
    #[must_use]
    pub fn reveal(&self) -> String {
        BASE64_URL_SAFE.encode(self.0)
    }

    /// Encrypts `content` into a token of the current time.
    #[must_use]
    pub fn seal(&self, content: &[u8]) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.seal_with(content, now, random())
    }

    fn seal_with(&self, content: &[u8], seconds: u64, iv: [u8; BLOCK]) -> String {
        let mut token = Vec::with_capacity(HEADER + content.len() + BLOCK + SIGNATURE);
        token.push(VERSION);
        token.extend(seconds.to_be_bytes());
        token.extend(iv);
        let cipher = cbc::Encryptor::<Aes128>::new(self.encryption().into(), &iv.into());
        token.extend(cipher.encrypt_padded_vec::<Pkcs7>(content));
        let mut mac = self.mac();
        mac.update(&token);
        token.extend(mac.finalize().into_bytes());
        BASE64_URL_SAFE.encode(token)
    }

    fn encryption(&self) -> &[u8; 16] {
        self.0[16..].try_into().expect("the second half is 16 bytes")
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0[..16]).expect("a key of any length does")
    }
}

/// Decrypts a token into `content`, and returns the index of the key that made it. If no key did, or the token is
/// damaged, the error is of the kind `InvalidData`.
///
/// The token is read twice, so that nothing is written before all of it is verified. It is never in memory as a whole.
pub fn open(keys: &[Key], token: &mut (impl Read + Seek), content: &mut impl Write) -> io::Result<usize> {
    let mut macs: Vec<_> = keys.iter().map(Key::mac).collect();
    let end = read_but_last(&mut decode(token)?, SIGNATURE, |piece| {
        for mac in &mut macs {
            mac.update(piece);
        }
        Ok(())
    })?;
    let (signed, signature) = end.split_last_chunk::<SIGNATURE>().ok_or_else(invalid)?;
    let made_it = |mac: Hmac<Sha256>| mac.chain_update(signed).verify_slice(signature).is_ok();
    let number = macs.into_iter().position(made_it).ok_or_else(invalid)?;
    let (mut encrypted, mut header) = (decode(token)?, [0; HEADER]);
    encrypted.read_exact(&mut header)?;
    if header[0] != VERSION {
        return Err(invalid());
    }
    let iv = header[HEADER - BLOCK..].try_into().expect("the end is an IV");
    let mut cipher = cbc::Decryptor::<Aes128>::new(keys[number].encryption().into(), iv);
    // The last block has the padding.
    let mut end = read_but_last(&mut encrypted, BLOCK + SIGNATURE, |piece| {
        for block in piece.as_chunks_mut::<BLOCK>().0 {
            cipher.decrypt_block(Array::cast_from_core_mut(block));
        }
        content.write_all(piece)
    })?;
    let last = end.get_mut(..BLOCK).and_then(|block| cipher.decrypt_padded::<Pkcs7>(block).ok());
    content.write_all(last.ok_or_else(invalid)?)?;
    Ok(number)
}

/// The bytes of a token, from its start.
fn decode<R: Read + Seek>(token: &mut R) -> io::Result<DecoderReader<'static, GeneralPurpose, &mut R>> {
    token.rewind()?;
    Ok(DecoderReader::new(token, &URL_ALPHABET))
}

/// Reads to the end. Passes the bytes to `hand_on` in whole blocks, but holds back the end, which it returns: at least
/// the `last` bytes, where there are so many, and less than a block more.
fn read_but_last(
    bytes: &mut impl Read,
    last: usize,
    mut hand_on: impl FnMut(&mut [u8]) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let (mut held, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        let read = bytes.read(&mut piece)?;
        if read == 0 {
            return Ok(held);
        }
        held.extend_from_slice(&piece[..read]);
        let whole = held.len().saturating_sub(last) / BLOCK * BLOCK;
        hand_on(&mut held[..whole])?;
        held.drain(..whole);
    }
}

/// The same kind of error as the base64 decoder's.
fn invalid() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Of the specification, <https://github.com/fernet/spec>.
    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    fn read(keys: &[Key], token: &str) -> io::Result<(usize, Vec<u8>)> {
        let mut content = Vec::new();
        open(keys, &mut Cursor::new(token.as_bytes()), &mut content).map(|number| (number, content))
    }

    fn is_invalid(read: io::Result<(usize, Vec<u8>)>) -> bool {
        read.is_err_and(|error| error.kind() == io::ErrorKind::InvalidData)
    }

    #[test]
    fn tokens_are_those_of_the_specification() {
        let key = Key::parse(KEY).unwrap();
        let iv: Vec<u8> = (0..16).collect();
        assert_eq!(key.seal_with(b"hello", 499_162_800, iv.try_into().unwrap()), TOKEN);
        assert_eq!(read(&[key], TOKEN).unwrap(), (0, b"hello".to_vec()));
    }

    #[test]
    fn any_length_comes_back_by_the_key_that_made_it() {
        let keys = [Key::generate(), Key::generate()];
        for length in [0, 1, 15, 16, 17, 31, 32, 33, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            let token = keys[1].seal(&content);
            let (number, opened) = read(&keys, &token).unwrap();
            assert!(number == 1 && opened == content, "{length}");
            assert!(is_invalid(read(&keys[..1], &token)));
        }
    }

    #[test]
    fn a_token_with_any_byte_changed_cut_or_added_is_invalid() {
        let key = [Key::parse(KEY).unwrap()];
        let bytes = BASE64_URL_SAFE.decode(TOKEN).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(is_invalid(read(&key, &BASE64_URL_SAFE.encode(changed))), "{at}");
            assert!(is_invalid(read(&key, &BASE64_URL_SAFE.encode(&bytes[..at]))), "{at}");
        }
        for wrong in ["", "%", "not base64!", &format!("{TOKEN}AAAA"), &"A".repeat(5000)] {
            assert!(is_invalid(read(&key, wrong)), "{wrong}");
        }
    }

    #[test]
    fn keys_are_read_in_either_alphabet_padded_or_not() {
        let key = Key::parse(KEY).unwrap();
        let standard = KEY.replace('-', "+").replace('_', "/");
        for text in
            [KEY, KEY.trim_end_matches('='), &standard, standard.trim_end_matches('='), &format!("{KEY}\r\n")]
        {
            assert_eq!(Key::parse(text).unwrap().reveal(), key.reveal(), "{text}");
        }
        for wrong in ["", "short", &KEY[..40], &format!("{KEY}AAAA"), "!!"] {
            assert!(Key::parse(wrong).is_none(), "{wrong}");
        }
    }
}
