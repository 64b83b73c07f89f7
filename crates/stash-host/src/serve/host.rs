//! Which host a request names. What is no request of its version of HTTP must be refused, not guessed at: whoever stands in
//! front of this server may have read it in another way.

use http::{HeaderValue, Request, Version, header};

/// The host that a request names, with its port; `None` where its version of HTTP lets it name none.
///
/// # Errors
/// What the client is told of a request that names none or several.
pub(super) fn named<B>(request: &Request<B>) -> Result<Option<String>, &'static str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::to_str).transpose().map_err(|_| "the host cannot be read\n")?;
    if hosts.next().is_some() {
        return Err("the request names several hosts\n");
    }
    if host.is_none() && request.version() == Version::HTTP_11 {
        return Err("a request of HTTP/1.1 names its host\n");
    }
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    Ok(authority.or(host).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, hosts: &[&[u8]]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn one_host_or_where_that_is_allowed_none() {
        for (version, uri, hosts, expected) in [
            (Version::HTTP_11, "/", &["a.example"][..], Some("a.example")),
            (Version::HTTP_11, "http://b.example:81/", &["a.example"], Some("b.example:81")),
            (Version::HTTP_10, "/", &[], None),
            (Version::HTTP_2, "/", &[], None),
            (Version::HTTP_2, "http://b.example/", &[], Some("b.example")),
            (Version::HTTP_2, "/", &["a.example"], Some("a.example")),
        ] {
            let hosts: Vec<&[u8]> = hosts.iter().map(|host| host.as_bytes()).collect();
            assert_eq!(named(&request(version, uri, &hosts)).unwrap().as_deref(), expected, "{version:?} {uri}");
        }
        assert!(named(&request(Version::HTTP_11, "/", &[])).unwrap_err().contains("names its host"));
        assert!(named(&request(Version::HTTP_11, "/", &[b"a", b"b"])).unwrap_err().contains("several"));
        assert!(named(&request(Version::HTTP_10, "/", &[b"a", b"a"])).unwrap_err().contains("several"));
        assert!(named(&request(Version::HTTP_11, "/", &[b"\xff"])).unwrap_err().contains("cannot be read"));
    }
}
