//! The headers of `POST /prices`.

use chassis::Problem;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use utoipa::IntoParams;

use crate::batches::parse::Format;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Documents the headers; [`UploadHeaders`] parses them.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documentation only")]
pub(crate) struct UploadHeaderParams {
    /// Your name for this batch, at most 255 characters. A batch that is sent again under its name is stored once.
    #[param(rename = "Idempotency-Key", required = false, min_length = 1, max_length = 255)]
    idempotency_key: String,
    /// `respond-async`: answer as soon as the content is queued, and process it in the background.
    #[param(rename = "Prefer", required = false, example = "respond-async")]
    prefer: String,
    /// `gzip` if the content is compressed.
    #[param(rename = "Content-Encoding", required = false, example = "gzip")]
    content_encoding: String,
}

/// What the headers of an upload say.
pub(super) struct UploadHeaders<'a> {
    pub(super) format: Format,
    pub(super) gzip: bool,
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) respond_async: bool,
}

impl<'a> UploadHeaders<'a> {
    pub(super) fn parse(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let respond_async = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"));
        Ok(Self {
            format: parse_content_type(text(headers, &header::CONTENT_TYPE).unwrap_or_default())?,
            gzip: is_gzip(text(headers, &header::CONTENT_ENCODING))?,
            idempotency_key: text(headers, &IDEMPOTENCY_KEY).map(check_idempotency_key).transpose()?,
            respond_async,
        })
    }
}

/// The value of a header; one that is not text becomes NUL, which every check rejects.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("\0").trim())
}

fn parse_content_type(content_type: &str) -> Result<Format, Problem> {
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let charset = parameters
        .split(';')
        .filter_map(|parameter| parameter.trim().split_once('='))
        .find_map(|(name, value)| name.eq_ignore_ascii_case("charset").then_some(value));
    Format::ALL
        .into_iter()
        .find(|format| media_type.trim().eq_ignore_ascii_case(format.media_type()))
        .filter(|_| charset.is_none_or(|name| name.trim_matches('"').eq_ignore_ascii_case("utf-8")))
        .ok_or_else(|| {
            let supported = Format::ALL.map(Format::media_type).join(", ");
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .detail(format!("Content-Type must be one of {supported}, in UTF-8."))
        })
}

fn is_gzip(content_encoding: Option<&str>) -> Result<bool, Problem> {
    match content_encoding {
        None => Ok(false),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(false),
        Some(encoding) if encoding.eq_ignore_ascii_case("gzip") => Ok(true),
        Some(_) => Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .detail("Content-Encoding must be gzip or absent.")
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))),
    }
}

fn check_idempotency_key(key: &str) -> Result<&str, Problem> {
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if (1..=255).contains(&key.len()) && is_visible {
        Ok(key)
    } else {
        Err(Problem::new(StatusCode::BAD_REQUEST)
            .detail("Idempotency-Key must be 1 to 255 visible ASCII characters."))
    }
}
