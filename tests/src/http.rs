//! A server of the real binary, and a client that asks it. It must never try again by itself: a lost request is what the tests
//! look for.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::Place;

/// How long a server may take for what takes it milliseconds: compiling a large component, on a machine that does more.
const PATIENCE: Duration = Duration::from_mins(10);

/// `stash serve`, killed when it is dropped.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    /// Where it answers.
    pub addr: SocketAddr,
    /// Where it answers operators, where that was asked for.
    pub admin: Option<SocketAddr>,
}

impl Server {
    /// Serves a component with these options, on a free port, and waits until it does.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start<I: AsRef<OsStr>>(place: &Place, guest: &str, options: impl IntoIterator<Item = I>) -> Self {
        Self::start_to(place, guest, options, Stdio::null())
    }

    /// The same, with its standard output: what it writes there is [`take_stdout`](Self::take_stdout)'s, if it is a pipe.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_to<I: AsRef<OsStr>>(
        place: &Place,
        guest: &str,
        options: impl IntoIterator<Item = I>,
        stdout: Stdio,
    ) -> Self {
        let options: Vec<_> = options.into_iter().map(|option| option.as_ref().to_owned()).collect();
        let operators = options.iter().any(|option| option == "--admin");
        let mut command = place.command(["serve", guest, "--addr", "127.0.0.1:0"]);
        let mut child =
            command.args(options).stdout(stdout).stderr(Stdio::piped()).spawn().expect("the command starts");
        let (sender, lines) = channel();
        let stderr = child.stderr.take().expect("it has a standard error");
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Shown with a test that fails, also where nobody waits for it.
                eprintln!("stash: {line}");
                let _ = sender.send(line);
            }
        });
        let mut server = Self { child, lines, addr: SocketAddr::from(([127, 0, 0, 1], 0)), admin: None };
        // Where it only watches, it says where it listens all the same.
        server.addr = address(&server.wait_for_one_of(&["serving ", "listening on "]));
        if operators {
            server.admin = Some(address(&server.wait_for("health and metrics on ")));
        }
        server
    }

    /// The next line of its standard error that begins so.
    ///
    /// # Panics
    /// Where there comes none.
    #[track_caller]
    pub fn wait_for(&self, begin: &str) -> String {
        self.wait_for_one_of(&[begin])
    }

    #[track_caller]
    fn wait_for_one_of(&self, begins: &[&str]) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if begins.iter().any(|begin| line.starts_with(begin)) => return line,
                Ok(_) => {}
                Err(error) => panic!("the server did not say '{}': {error}", begins.join("' or '")),
            }
        }
    }

    /// Its standard output, to be read.
    ///
    /// # Panics
    /// Where it is no pipe, or was taken before.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("a pipe")
    }

    /// Asks it to end, as an operator's system does.
    ///
    /// # Panics
    /// Where it cannot be asked.
    #[cfg(unix)]
    pub fn ask_to_end(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, such as `STOP`.
    ///
    /// # Panics
    /// Where it cannot be sent.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let mut kill = std::process::Command::new("kill");
        let status = kill.args([&format!("-{name}"), &self.child.id().to_string()]).status().expect("there is kill");
        assert!(status.success());
    }

    /// How it ended.
    ///
    /// # Panics
    /// Where it cannot be waited for.
    pub fn ended(mut self) -> ExitStatus {
        self.child.wait().expect("it can be waited for")
    }

    /// Asks it one thing, over a connection of its own.
    ///
    /// # Panics
    /// Where no answer comes.
    pub async fn ask(&self, method: &str, target: &str, body: impl Into<Bytes>) -> Answer {
        self.connect().await.ask(method, target, body).await
    }

    /// A connection of HTTP/1.1.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn connect(&self) -> Connection {
        Connection::http1(self.addr).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line such as `serving app/a/001 on http://127.0.0.1:1234/`.
fn address(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once("http://").expect("a URL");
    let address = rest.split('/').next().expect("an authority");
    address.parse().expect("an address")
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub text: String,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Status and body, to compare.
    pub fn said(&self) -> (u16, &str) {
        (self.status, &self.text)
    }

    async fn of(response: Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(Self {
            status: head.status.as_u16(),
            text: String::from_utf8_lossy(&body).into_owned(),
            headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        })
    }
}

/// An open connection. It stays open from one request to the next.
pub enum Connection {
    /// One request after the other.
    Http1(http1::SendRequest<RequestBody>),
    /// Any number at once; clones are the same connection.
    Http2(http2::SendRequest<RequestBody>),
}

/// The body of a request.
pub type RequestBody = http_body_util::combinators::BoxBody<Bytes, Infallible>;

impl Connection {
    /// One of HTTP/1.1.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn http1(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server takes connections");
        Self::over(stream).await.expect("a connection")
    }

    /// One of HTTP/1.1 over what is connected to the server.
    ///
    /// # Errors
    /// Where it has ended already.
    pub async fn over(stream: TcpStream) -> hyper::Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    /// One of HTTP/2, without TLS.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn http2(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server takes connections");
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        Self::Http2(sender)
    }

    /// Asks one thing.
    ///
    /// # Panics
    /// Where no answer comes.
    pub async fn ask(&mut self, method: &str, target: &str, body: impl Into<Bytes>) -> Answer {
        let answer = self.send(method, target, Full::new(body.into())).await;
        answer.unwrap_or_else(|error| panic!("no answer to {method} {target}: {error}"))
    }

    /// Asks one thing, with a body that may be under way for some time.
    ///
    /// # Errors
    /// Where no answer comes.
    ///
    /// # Panics
    /// Where it is no request.
    pub async fn send<B>(&mut self, method: &str, target: &str, body: B) -> hyper::Result<Answer>
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
    {
        self.send_with(method, target, &[], body).await
    }

    /// The same with further headers.
    ///
    /// # Errors
    /// Where no answer comes.
    ///
    /// # Panics
    /// Where it is no request.
    pub async fn send_with<B>(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: B,
    ) -> hyper::Result<Answer>
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
    {
        let method: Method = method.parse().expect("a method");
        let request = Request::builder().method(method);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = match self {
            // One that names its host names it once.
            Self::Http1(_) if headers.iter().any(|(name, _)| *name == "host") => request.uri(target),
            Self::Http1(_) => request.uri(target).header("host", "localhost"),
            Self::Http2(_) => request.uri(format!("http://localhost{target}")),
        };
        let request = request.body(body.boxed()).expect("a request");
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        Answer::of(response).await
    }
}
