//! Completes errors: adds the id of the request, and makes a page of them for browsers.

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};

use super::EdgeOptions;
use crate::{Problem, accept};

const HTML: &str = "text/html";

/// Completes the response if it is a problem, and gives the problem back.
pub(super) fn complete(
    mut response: Response,
    id: &HeaderValue,
    accept: Option<&HeaderValue>,
    options: &EdgeOptions,
) -> (Response, Option<Problem>) {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else {
        return (response, None);
    };
    if let Some(member) = options.detail_member {
        problem = problem.repeat_detail_as(member);
    }
    if let Some(member) = options.status_member {
        let status = problem.status().as_u16();
        problem = problem.member(member, status);
    }
    let id = id.to_str().ok();
    let (head, body) = problem.response(id).into_parts();
    *response.body_mut() = body;
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(head.headers);
    headers.append(header::VARY, HeaderValue::from_static("accept"));
    if accept.is_some_and(|accept| accept::preferred([accept], &[crate::problem::MEDIA_TYPE, HTML]) == HTML) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CONTENT_SECURITY_POLICY, crate::problem::PAGE_POLICY);
        *response.body_mut() = Body::from(problem.page(id));
    }
    (response, Some(problem))
}
