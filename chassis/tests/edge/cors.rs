//! Pages of other origins.

use axum::http::HeaderName;
use chassis::edge::EdgeOptions;

use crate::support::{Instance, request};

const ORIGIN: &str = "https://example.com";

#[tokio::test]
async fn pages_of_the_configured_origins_may_send_what_the_service_takes() {
    let options = EdgeOptions::default().browser_headers([HeaderName::from_static("prefer")]);
    let service = Instance::with(options, &[("SAMPLE__SERVER__CORS_ORIGINS", ORIGIN)]);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        let asks = [("origin", ORIGIN), ("access-control-request-method", method)];
        let answer = service.send(request("OPTIONS", "/body", &asks)).await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
        let methods: Vec<_> = answer.header("access-control-allow-methods").split(',').collect();
        assert!(methods.contains(&method), "{method} is not in {methods:?}");
        let headers: Vec<_> = answer.header("access-control-allow-headers").split(',').collect();
        for allowed in ["content-type", "authorization", "if-none-match", "x-request-id", "prefer"] {
            assert!(headers.contains(&allowed), "{allowed} is not in {headers:?}");
        }
        assert!(!headers.contains(&"idempotency-key"), "{headers:?}");
    }
    let patched = service.send(request("PATCH", "/body", &[("origin", ORIGIN)])).await.expect(200);
    assert_eq!(patched.header("access-control-allow-origin"), ORIGIN);
    assert!(patched.header("access-control-expose-headers").contains("x-request-id"), "{patched}");
}

#[tokio::test]
async fn pages_of_other_origins_may_not() {
    let service = Instance::with(EdgeOptions::default(), &[("SAMPLE__SERVER__CORS_ORIGINS", ORIGIN)]);
    for (service, origin) in [(&service, "https://example.org"), (&Instance::start(), ORIGIN)] {
        let answer = service.send(request("GET", "/text", &[("origin", origin)])).await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
}
