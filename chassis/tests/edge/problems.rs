//! Errors for people and for programs.

use chassis::{edge::EdgeOptions, testing::Answer};

use crate::support::{Instance, request};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// The status, the request, and what the page says.
const ERRORS: [(u16, &str, &str, &[&str]); 4] = [
    (400, "GET", "/wrong", &["2 parameters are wrong", "<li>a is missing</li>", "<li>b is missing</li>"]),
    (404, "GET", "/nowhere", &["There is nothing at this path"]),
    (405, "POST", "/text", &["This path does not take this method"]),
    (503, "GET", "/slow", &["The answer took too long"]),
];

fn expect_page(answer: &Answer, status: u16, parts: &[&str]) {
    assert_eq!(answer.status, status, "{answer}");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("vary"), "accept");
    assert_eq!(answer.header("cache-control"), "no-store");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert_eq!(answer.header("x-frame-options"), "DENY", "as every page has it");
    let id = answer.header("x-request-id");
    let footer = format!("HTTP {status}, request {id}");
    for part in parts.iter().copied().chain(["<style>", &footer]) {
        assert!(answer.text().contains(part), "{part} is missing in {answer}");
    }
}

#[tokio::test]
async fn a_browser_gets_a_page() {
    let service = Instance::start();
    for (status, method, path, parts) in ERRORS {
        for accept in [BROWSER, "text/html"] {
            let answer = service.send(request(method, path, &[("accept", accept)])).await;
            expect_page(&answer, status, parts);
            if status == 405 {
                assert_eq!(answer.header("allow"), "GET,HEAD");
            }
            if status == 503 {
                assert_eq!(answer.header("retry-after"), "1");
            }
        }
    }
}

#[tokio::test]
async fn everybody_else_gets_json_and_caches_are_told() {
    let service = Instance::start();
    for (status, method, path, _) in ERRORS {
        for headers in [&[][..], &[("accept", "*/*")], &[("accept", "application/json")]] {
            let answer = service.send(request(method, path, headers)).await;
            assert_eq!(answer.header("vary"), "accept", "{answer}");
            assert!(!answer.header("content-security-policy").contains("style-src"), "{answer}");
            let fields: &[_] = if status == 400 { &[("a", "missing"), ("b", "missing")] } else { &[] };
            answer.expect_problem(status, fields);
        }
    }
}

#[tokio::test]
async fn detail_and_status_are_repeated_where_a_service_wants_it() {
    let options = EdgeOptions::default().repeat_detail_as("err_msg").repeat_status_as("code");
    let service = Instance::with(options, &[]);
    for (status, method, path, _) in ERRORS {
        let body = service.send(request(method, path, &[])).await.expect_any_problem(status);
        assert!(body["err_msg"].is_string() && body["err_msg"] == body["detail"], "{body}");
        assert_eq!(body["code"], status);
    }
}
