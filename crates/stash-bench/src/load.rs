//! Asks an HTTP server as often as it answers, over connections that are kept open. It must do little itself: it takes the
//! processor from whom it measures.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connections to one server, each with one request under way at a time.
pub struct Load {
    runtime: tokio::runtime::Runtime,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Load {
    /// Opens `count` connections, for requests of `path`.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn new(addr: SocketAddr, path: &str, count: u32) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n\r\n").into_bytes();
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..count {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                connections.push(Connection { stream, request: request.clone(), answer: Vec::new() });
            }
            anyhow::Ok(connections)
        })?;
        Ok(Self { runtime, connections })
    }

    /// Asks `times` on each connection; how many nanoseconds each answer took.
    ///
    /// # Errors
    /// A connection that breaks, and any answer but `expected` with status 200.
    pub fn run(&mut self, times: usize, expected: &str) -> Result<Vec<f64>> {
        let Self { runtime, connections } = self;
        let asked = connections.iter_mut().map(|connection| connection.ask(times, expected.as_bytes()));
        let took = runtime.block_on(futures_util::future::try_join_all(asked))?;
        Ok(took.concat())
    }
}

impl Connection {
    async fn ask(&mut self, times: usize, expected: &[u8]) -> Result<Vec<f64>> {
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            let begin = Instant::now();
            self.stream.write_all(&self.request).await?;
            self.answer.clear();
            let (head, body) = loop {
                ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the server closed the connection");
                if let Some(answer) = whole(&self.answer)? {
                    break answer;
                }
            };
            #[allow(clippy::cast_precision_loss)]
            took.push(begin.elapsed().as_nanos() as f64);
            let text = || String::from_utf8_lossy(&self.answer).into_owned();
            ensure!(head.starts_with("HTTP/1.1 200 ") && body == expected, "an unexpected answer: {}", text());
        }
        Ok(took)
    }
}

/// Head and body of an answer, if it is whole.
fn whole(answer: &[u8]) -> Result<Option<(&str, Vec<u8>)>> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end])?;
    let rest = &answer[end + 4..];
    let header = |name: &str| {
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then(|| value.trim()))
    };
    if let Some(length) = header("content-length") {
        let length: usize = length.parse()?;
        return Ok((rest.len() >= length).then(|| (head, rest.to_vec())));
    }
    ensure!(header("transfer-encoding") == Some("chunked"), "an answer of unknown length: {head}");
    if !rest.ends_with(b"0\r\n\r\n") {
        return Ok(None);
    }
    let (mut body, mut rest) = (Vec::new(), rest);
    loop {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n").context("a chunk without an end")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end])?, 16)?;
        if length == 0 {
            return Ok(Some((head, body)));
        }
        let chunk = rest.get(end + 2..end + 2 + length).context("a chunk that is not there")?;
        body.extend_from_slice(chunk);
        rest = rest.get(end + 2 + length + 2..).context("a chunk without an end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn an_answer_is_whole_or_not_yet() {
        let body = |answer: &str| whole(answer.as_bytes()).unwrap().map(|(_, body)| String::from_utf8(body).unwrap());
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(body(sized).as_deref(), Some("hello"));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        assert_eq!(body(chunked).as_deref(), Some("hello"));
        for answer in [sized, chunked] {
            for end in 0..answer.len() {
                assert_eq!(body(&answer[..end]), None, "{}", &answer[..end]);
            }
        }
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
