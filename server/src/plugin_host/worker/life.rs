//! A worker's life: its start, what it says, its end.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use rustix::{
    process::{Pid, PidfdFlags, pidfd_open},
    thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
};
use serde_json::Value;

/// How many of a worker's last lines are kept for its obituary.
const LAST_LINES: usize = 12;

/// Longer lines of a worker are cut.
const LONGEST_LINE_LEN_BYTES: u64 = 8 << 10;

/// How long the last words of a worker that has ended are waited for.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What libraries ask for how many threads they may start.
const THREADS: [&str; 5] =
    ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CANDLE_NUM_THREADS"];

/// A worker process; ended when it is dropped.
pub(in crate::plugin_host) struct Process {
    child: Child,
    id: Pid,
    /// Readable once it has ended.
    end: OwnedFd,
    said: Arc<Said>,
}

impl Process {
    /// Starts this program again as a worker of `plugin`, with `socket` as its standard input.
    pub(super) fn start(plugin: &str, socket: UnixStream, threads: u32) -> io::Result<Self> {
        Self::start_as(&["worker"], plugin, socket, threads)
    }

    /// Starts the subcommand `role` of this program for `plugin`, with `socket` as its standard input.
    pub(in crate::plugin_host) fn start_as(
        role: &[&str],
        plugin: &str,
        socket: UnixStream,
        threads: u32,
    ) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("segue")
            .args(role)
            .arg(plugin)
            .stdin(OwnedFd::from(socket))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // What a terminal sends to the server is not for its workers: they finish their frames.
            .process_group(0);
        // What a plugin starts in its process keeps to the instance's threads, too.
        for variable in THREADS {
            command.env(variable, threads.to_string());
        }
        command.env("SEGUE_WORKER_LOG", tracing::level_filters::LevelFilter::current().to_string());
        let mut child = spawn(command)?;
        let stderr = child.stderr.take();
        let said = Arc::new(Said::default());
        let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        let end = pidfd_open(process, PidfdFlags::empty())?;
        let (listener, plugin) = (Arc::clone(&said), plugin.to_owned());
        thread::spawn(move || listener.listen(&plugin, child_id(process), stderr));
        Ok(Self { child, id: process, end, said })
    }

    /// Has it, which sleeps now, wake up on this thread's core, and this thread wake up there, too, as long as what comes
    /// back lives. That core has the frame in its cache, and is free as soon as this thread waits; another one would have
    /// to be woken first, which can take longer than a small model.
    pub(super) fn share_this_core(&self) -> SharedCore {
        let before = sched_getaffinity(None).ok();
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        // In vain, both wake up where the kernel likes.
        let _ = sched_setaffinity(None, &here);
        let _ = sched_setaffinity(Some(self.id), &here);
        SharedCore { before }
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Readable once it has ended.
    pub(super) fn end(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    /// Ends it.
    pub(in crate::plugin_host) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended, and what it said last. Ends it if it has not.
    pub(in crate::plugin_host) fn obituary(&mut self) -> String {
        // A worker whose socket is closed is about to end by itself.
        let status = self.wait_a_moment().unwrap_or_else(|| {
            let _ = self.child.kill();
            self.child.wait().unwrap_or_default()
        });
        let words = self.said.last_words();
        let cause = describe(status);
        if words.is_empty() { cause } else { format!("{cause}; its last words: {words}") }
    }

    fn wait_a_moment(&mut self) -> Option<ExitStatus> {
        for _ in 0..50 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Keeps the thread that made it on its core.
pub(super) struct SharedCore {
    before: Option<CpuSet>,
}

impl Drop for SharedCore {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // What could be narrowed can be widened again.
            let _ = sched_setaffinity(None, before);
        }
    }
}

fn child_id(process: Pid) -> i32 {
    process.as_raw_nonzero().get()
}

/// Starts `command` from a thread that lives as long as the server: Linux ends a worker with the thread that started it.
fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, SyncSender<io::Result<Child>>);
    static STARTER: OnceLock<SyncSender<Job>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (jobs, waiting) = sync_channel::<Job>(0);
        thread::spawn(move || {
            for (mut command, reply) in waiting {
                // Whoever asked may have given up.
                let _ = reply.send(command.spawn());
            }
        });
        jobs
    });
    let (reply, started) = sync_channel(1);
    let gone = || io::Error::other("the thread that starts workers has ended");
    starter.send((command, reply)).map_err(|_gone| gone())?;
    started.recv().map_err(|_gone| gone())?
}

/// What a worker says on its standard error.
#[derive(Default)]
struct Said {
    lines: Mutex<Lines>,
    ended: Condvar,
}

#[derive(Default)]
struct Lines {
    last: VecDeque<String>,
    has_ended: bool,
}

impl Said {
    /// Hands each line to the log until the worker has no more to say.
    fn listen(&self, plugin: &str, process: i32, stderr: Option<ChildStderr>) {
        if let Some(stderr) = stderr {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while let Ok(1..) = reader.by_ref().take(LONGEST_LINE_LEN_BYTES).read_until(b'\n', &mut line) {
                let text = String::from_utf8_lossy(&line);
                self.keep(log(plugin, process, text.trim_end()));
                line.clear();
            }
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).has_ended = true;
        self.ended.notify_all();
    }

    fn keep(&self, line: String) {
        if is_of_a_backtrace(&line) {
            return;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.last.len() == LAST_LINES {
            lines.last.pop_front();
        }
        lines.last.push_back(line);
    }

    fn last_words(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.wait_timeout_while(lines, LAST_WORDS, |lines| !lines.has_ended);
        let (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        lines.last.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }
}

/// A backtrace would leave no room for what it is of; the log has it.
fn is_of_a_backtrace(line: &str) -> bool {
    let text = line.trim_start();
    text.starts_with("at ") || text.split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

/// Writes a line of a worker to the log; its text. A worker's own log is JSON, what its plugin prints is anything.
fn log(plugin: &str, process: i32, line: &str) -> String {
    let document = serde_json::from_str::<Value>(line).unwrap_or_default();
    let field = |value: &Value| value.as_str().map(str::to_owned);
    let (Some(level), Some(message)) = (field(&document["level"]), field(&document["fields"]["message"])) else {
        tracing::warn!(target: "plugin", plugin, process, "{line}");
        return line.to_owned();
    };
    let part = field(&document["fields"]["part"]).unwrap_or_default();
    match level.as_str() {
        "ERROR" => tracing::error!(target: "plugin", plugin, process, part, "{message}"),
        "WARN" => tracing::warn!(target: "plugin", plugin, process, part, "{message}"),
        "INFO" => tracing::info!(target: "plugin", plugin, process, part, "{message}"),
        "DEBUG" => tracing::debug!(target: "plugin", plugin, process, part, "{message}"),
        _ => tracing::trace!(target: "plugin", plugin, process, part, "{message}"),
    }
    message
}

fn describe(status: ExitStatus) -> String {
    const NAMES: [(i32, &str); 9] = [
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
        (31, "SIGSYS"),
    ];
    match (status.signal(), status.code()) {
        (Some(signal), _) => match NAMES.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => format!("was ended by {name}"),
            None => format!("was ended by signal {signal}"),
        },
        (None, code) => format!("ended by itself with {}", code.unwrap_or_default()),
    }
}
