use super::*;

#[tokio::test]
async fn the_body_has_the_members_of_rfc_9457_and_no_cause() {
    let cause = std::io::Error::other("secret host 10.0.0.1");
    let response = Problem::internal(cause).member("err_msg", "x").response(Some("abc"));
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["type"], "about:blank");
    assert_eq!(body["title"], "Internal Server Error");
    assert_eq!(body["status"], 500);
    assert_eq!(body["request_id"], "abc");
    assert_eq!(body["err_msg"], "x");
    assert!(!body.to_string().contains("10.0.0.1"), "{body}");
}

#[test]
fn a_repeated_detail_is_the_title_where_there_is_none() {
    let err_msg = |problem: Problem| {
        let body = problem.repeat_detail_as("err_msg").json(None);
        serde_json::from_slice::<Value>(&body).unwrap()["err_msg"].clone()
    };
    assert_eq!(err_msg(Problem::not_found("not here")), "not here");
    assert_eq!(err_msg(Problem::new(StatusCode::METHOD_NOT_ALLOWED)), "Method Not Allowed");
}

#[test]
fn the_cause_chain_says_each_cause_once() {
    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    let problem = Problem::internal(Outer(std::io::Error::other("inner")));
    assert_eq!(problem.cause_chain().as_deref(), Some("outer: inner"));
}
