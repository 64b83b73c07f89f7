//! Lines for a stream that somebody else reads, written by a thread of their own. A reader that stalls must never hold up
//! whoever has a line for it: some lines wait, and those beyond are lost and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Bytes that may wait before lines are lost.
const ROOM: usize = 4 * 1024 * 1024;

/// Writes lines to one stream, in the order in which they come. Clones are the same.
#[derive(Clone)]
pub(crate) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to be written.
    filled: Condvar,
    /// All has been written.
    written: Condvar,
}

#[derive(Default)]
struct Queue {
    text: String,
    lost: u64,
    writing: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.lost == 0
    }
}

impl Lines {
    /// Starts to write to `out`, from a thread that ends with the process. How many lines were lost is told to `lost`, on
    /// that thread, when there is room again.
    pub(crate) fn start(
        thread: &str,
        out: impl Write + Send + 'static,
        lost: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let lines = Self { shared: Arc::clone(&shared) };
        std::thread::Builder::new().name(thread.to_owned()).spawn(move || shared.write_to(out, &lost))?;
        Ok(lines)
    }

    /// Has a line written, which comes without its end. Never waits for the reader.
    pub(crate) fn write(&self, line: &str) {
        self.write_within(ROOM, line);
    }

    /// As [`write`](Self::write), for those who may write without end: they leave half of the room to others.
    pub(crate) fn write_if_quiet(&self, line: &str) {
        self.write_within(ROOM / 2, line);
    }

    fn write_within(&self, room: usize, line: &str) {
        let mut queue = self.shared.queue.lock();
        if queue.text.len().saturating_add(line.len()) < room {
            queue.text.push_str(line);
            queue.text.push('\n');
        } else {
            queue.lost = queue.lost.saturating_add(1);
        }
        self.shared.filled.notify_one();
    }

    /// Waits until all lines are written, and says whether they are; not for ever.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut queue = self.shared.queue.lock();
        while queue.writing || !queue.is_empty() {
            if self.shared.written.wait_until(&mut queue, until).timed_out() {
                return false;
            }
        }
        true
    }
}

impl Shared {
    fn write_to(&self, mut out: impl Write, tell: &impl Fn(u64)) {
        loop {
            let mut queue = self.queue.lock();
            queue.writing = false;
            if queue.is_empty() {
                self.written.notify_all();
                self.filled.wait_while(&mut queue, |queue| queue.is_empty());
            }
            queue.writing = true;
            let text = std::mem::take(&mut queue.text);
            // These came when the text was full, and so after all of it.
            let lost = std::mem::take(&mut queue.lost);
            drop(queue);
            // A reader that is gone is no reason to serve nobody.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            if lost > 0 {
                tell(lost);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const PATIENCE: Duration = Duration::from_mins(1);

    /// A stream whose reader takes nothing until it is let go, and then all.
    struct Stalled {
        begun: Sender<()>,
        go: Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            // An error is the sender's end: from then on nothing stalls.
            let _ = self.go.recv();
            self.taken.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_holds_nobody_up_and_what_is_lost_is_counted() {
        let (begun, has_begun) = channel();
        let (go, held) = channel::<()>();
        let (tell, told) = channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let out = Stalled { begun, go: held, taken: Arc::clone(&taken) };
        let lines = Lines::start("test", out, move |lost| tell.send(lost).unwrap()).unwrap();
        lines.write("first");
        has_begun.recv_timeout(PATIENCE).unwrap();

        // Nothing is taken from now on, and all of these return.
        let long = "x".repeat(1023);
        let fit = ROOM / 1024;
        for _ in 0..fit + 10 {
            lines.write(&long);
        }
        assert!(!lines.flush(Duration::from_millis(50)), "flushing gives up");

        drop(go);
        assert!(lines.flush(PATIENCE));
        let text = String::from_utf8(taken.lock().clone()).unwrap();
        assert_eq!(text.lines().next(), Some("first"));
        let written = text.lines().filter(|line| *line == long).count();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap() + u64::try_from(written).unwrap(), fit as u64 + 10);
        assert!((fit - 1..=fit).contains(&written), "{written} of {fit}");

        // And it goes on.
        lines.write("last");
        assert!(lines.flush(PATIENCE));
        assert!(taken.lock().ends_with(b"\nlast\n"));
    }

    #[test]
    fn those_who_write_without_end_leave_room_to_others() {
        let (begun, has_begun) = channel();
        let (go, held) = channel::<()>();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let out = Stalled { begun, go: held, taken: Arc::clone(&taken) };
        let lines = Lines::start("test", out, |_| {}).unwrap();
        lines.write("first");
        has_begun.recv_timeout(PATIENCE).unwrap();
        for _ in 0..ROOM / 512 {
            lines.write_if_quiet(&"x".repeat(1023));
        }
        lines.write("important");
        drop(go);
        assert!(lines.flush(PATIENCE));
        assert!(taken.lock().ends_with(b"\nimportant\n"));
    }
}
