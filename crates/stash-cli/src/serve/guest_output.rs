//! What served guests print: lines on the host's standard error, each with the component that it is of. A guest must never
//! be able to write what looks like the host's own words or another guest's, nor wait for whoever reads them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use stash_core::ComponentId;
use stash_host::logging;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::lines::Lines;

/// Bytes of a guest's line that make one line; what is longer makes several.
const MAX_LINE: usize = 8 * 1024;

/// Bytes that a guest may write at once: what its host copies for it.
const PERMIT: usize = 64 * 1024;

/// One instance's standard output or error. Clones are the same stream.
#[derive(Clone)]
pub(super) struct GuestOutput {
    partial: Arc<Mutex<Partial>>,
}

/// The line that is not at its end yet. It is written when the instance is gone.
struct Partial {
    lines: Lines,
    id: ComponentId,
    line: Vec<u8>,
}

impl GuestOutput {
    pub(super) fn new(lines: &Lines, id: &ComponentId) -> Self {
        let partial = Partial { lines: lines.clone(), id: id.clone(), line: Vec::new() };
        Self { partial: Arc::new(Mutex::new(partial)) }
    }
}

impl Partial {
    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
                continue;
            }
            // A character is not cut in two, as long as these are characters.
            let inside = byte & 0xc0 == 0x80 && self.line.len() < MAX_LINE + 3;
            if self.line.len() >= MAX_LINE && !inside {
                self.end_line();
            }
            self.line.push(byte);
        }
    }

    fn end_line(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let text = logging::one_line(&String::from_utf8_lossy(line));
        self.lines.write_if_quiet(&format!("{}: {text}", self.id));
        self.line.clear();
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.partial.lock().push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Pollable for GuestOutput {
    // As `async_trait` would write it.
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.partial.lock().push(&bytes);
        Ok(())
    }

    /// A line is written at its end: guests flush after each piece of one.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(pieces: &[&[u8]]) -> String {
        let written = Written::default();
        let lines = Lines::start("test", written.clone(), |_| {}).unwrap();
        let mut output = GuestOutput::new(&lines, &"app/a/001".parse().unwrap());
        for piece in pieces {
            output.write(Bytes::copy_from_slice(piece)).unwrap();
        }
        drop(output);
        assert!(lines.flush(Duration::from_mins(1)));
        let bytes = written.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_line_says_whose_it_is_and_drives_nothing() {
        let pieces: [&[u8]; 4] = [b"one\ntw", b"o\r\n\n", b"\x1b[2Jthree\rserving \xff\n", b"and no end"];
        assert_eq!(
            written(&pieces),
            "app/a/001: one\napp/a/001: two\napp/a/001: \napp/a/001: \\u{1b}[2Jthree\\rserving \u{fffd}\n\
             app/a/001: and no end\n"
        );
        assert_eq!(written(&[b""]), "");
    }

    #[test]
    fn streams_of_wasi_0_2_and_of_0_3_are_the_same() {
        let written = Written::default();
        let lines = Lines::start("test", written.clone(), |_| {}).unwrap();
        let output = GuestOutput::new(&lines, &"app/a/001".parse().unwrap());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        output.p2_stream().write(Bytes::from_static(b"one ")).unwrap();
        let mut stream = Pin::from(output.async_stream());
        assert!(matches!(stream.as_mut().poll_write(&mut cx, b"line\n"), Poll::Ready(Ok(5))));
        drop((output, stream));
        assert!(lines.flush(Duration::from_mins(1)));
        assert_eq!(*written.0.lock(), b"app/a/001: one line\n");
    }

    #[test]
    fn a_line_without_end_is_cut_between_characters() {
        let text = format!("x{}\n", "é".repeat(MAX_LINE));
        let lines = written(&[text.as_bytes()]);
        let cut: Vec<&str> = lines.lines().map(|line| line.strip_prefix("app/a/001: ").unwrap()).collect();
        assert_eq!(cut.len(), 2);
        assert_eq!(format!("{}\n", cut.concat()), text);
        // What is no text is cut too.
        assert_eq!(written(&[&vec![0x80; MAX_LINE * 3]]).lines().count(), 3);
    }
}
