//! URLs that name several servers, as libpq reads them: `postgres://USER@HOST:PORT,HOST:PORT/NAME`.

/// A URL for each server that this URL names. We always connect to the server that takes writes, so of libpq's
/// `target_session_attrs` only values that this server fulfils are accepted.
pub(super) fn one_url_each(url: &str) -> Result<Vec<String>, String> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(vec![url.to_owned()]) };
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match before_query.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (before_query, String::new()),
    };
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
        None => (String::new(), authority),
    };
    let (targets, parameters): (Vec<_>, Vec<_>) = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .partition(|parameter| parameter.starts_with("target_session_attrs="));
    for target in targets {
        let (_, value) = target.split_once('=').unwrap_or_default();
        if !matches!(value, "read-write" | "primary" | "any") {
            return Err(format!(
                "has target_session_attrs={value}; it must be read-write, since this is the server that takes writes"
            ));
        }
    }
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    Ok(hosts.split(',').map(|host| format!("{scheme}://{credentials}{host}{path}{query}")).collect())
}

#[cfg(test)]
mod tests {
    use super::one_url_each;

    #[test]
    fn a_url_is_split_into_one_for_each_server() {
        let urls =
            one_url_each("postgres://u:p@ss@a:1,b:2/n?target_session_attrs=read-write&sslmode=disable");
        assert_eq!(
            urls.unwrap(),
            ["postgres://u:p@ss@a:1/n?sslmode=disable", "postgres://u:p@ss@b:2/n?sslmode=disable"]
        );
        for unchanged in
            ["postgres://u@a/n", "postgres://a", "postgres://u@localhost/n?host=/run/sockets", "nonsense"]
        {
            assert_eq!(one_url_each(unchanged).unwrap(), [unchanged]);
        }
        let fault = one_url_each("postgres://a,b/n?target_session_attrs=standby").unwrap_err();
        assert!(fault.contains("target_session_attrs=standby; it must be read-write"), "{fault}");
    }
}
