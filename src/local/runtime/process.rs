//! The runtime's side of a container: starts the sandbox, hands it the spec, gives signals, hears how it ended.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as Socket},
    process::Stdio,
    time::Duration,
};

use anyhow::Context;
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixStream,
        unix::{
            pipe, {OwnedReadHalf, OwnedWriteHalf},
        },
    },
    process::{Child, Command},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use crate::local::runtime::{
    sandbox,
    spec::{Isolation, Report, Spec},
};

/// Bytes read from a container's output at a time.
const OUTPUT_CHUNK_BYTES: usize = 16 * 1024;
/// How long the output is waited for after the command has ended: a process that it left may hold the pipe for a moment.
const OUTPUT_REST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the kernel may take to clear a container away before we stop waiting for it.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(10);

/// A running sandbox. Dropping it ends everything inside.
pub struct Process {
    sandbox: Child,
    orders: OwnedWriteHalf,
    reports: Lines<BufReader<OwnedReadHalf>>,
    output: JoinHandle<()>,
}

/// How a container's command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// The sandbox went away without a word; the machine may have run out of memory.
    Lost,
}

impl Process {
    /// Starts the sandbox; what it prints goes to `sink` piece by piece. That the command itself runs is told by [`Process::started`].
    pub async fn start(spec: &Spec, sink: impl Fn(&[u8]) + Send + 'static) -> anyhow::Result<Process> {
        let (ours, theirs) = Socket::pair().context("can't make a socket")?;
        ours.set_nonblocking(true).context("can't set up the socket")?;
        let (reader, writer) = io::pipe().context("can't make a pipe")?;
        let errors = writer.try_clone().context("can't share the pipe")?;
        let mut command = Command::new(&spec.program);
        command
            .args([sandbox::COMMAND, spec.isolation.word()])
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(writer)
            .stderr(errors)
            // Away from the terminal's group: Ctrl-C is for us, and we tell the containers.
            .process_group(0)
            .kill_on_drop(true);
        // Starting a process blocks until the new program is loaded, which is too long for an async thread.
        let sandbox = spawn_blocking(move || command.spawn()).await.context("starting was cut off")?;
        let sandbox = sandbox.with_context(|| format!("can't start {}", spec.program.display()))?;
        let (reports, mut orders) = UnixStream::from_std(ours).context("can't use the socket")?.into_split();
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).context("can't read the output")?;
        let output = tokio::spawn(copy(output, sink));
        let mut line = serde_json::to_vec(spec).context("can't write the spec")?;
        line.push(b'\n');
        orders.write_all(&line).await.context("can't hand over the spec")?;
        Ok(Process { sandbox, orders, reports: BufReader::new(reports).lines(), output })
    }

    /// Waits until the command runs; the error says why it doesn't.
    pub async fn started(&mut self) -> Result<(), String> {
        match self.report().await {
            Some(Report::Started) => Ok(()),
            Some(Report::Refused { message }) => Err(message),
            Some(Report::Exited { .. } | Report::Signalled { .. }) | None => {
                Err("the sandbox ended before the command could start".to_owned())
            }
        }
    }

    /// Passes a signal to the command's process group.
    pub async fn signal(&mut self, signal: Signal) {
        let number = (signal as i32).to_le_bytes()[0];
        // A sandbox that has ended needs no signal.
        let _ = self.orders.write_all(&[number]).await;
    }

    /// Waits for the end of the command. Cancelling and calling again is fine.
    pub async fn ended(&mut self) -> End {
        match self.report().await {
            Some(Report::Exited { code }) => End::Exited(code),
            Some(Report::Signalled { signal }) => End::Signalled(signal),
            Some(Report::Started | Report::Refused { .. }) | None => End::Lost,
        }
    }

    /// Waits until all that was printed has reached the sink.
    pub async fn printed(&mut self) {
        // If a process that was left behind holds the pipe open, what it prints later isn't waited for.
        let _ = timeout(OUTPUT_REST_TIMEOUT, &mut self.output).await;
    }

    /// Waits until nothing of the container is left.
    pub async fn cleared(mut self) {
        self.signal(Signal::SIGKILL).await;
        drop(self.orders);
        if timeout(CLEAR_TIMEOUT, self.sandbox.wait()).await.is_err() {
            tracing::warn!("a container's processes are still there {CLEAR_TIMEOUT:?} after they were killed");
        }
        self.output.abort();
    }

    async fn report(&mut self) -> Option<Report> {
        let line = self.reports.next_line().await.ok()??;
        serde_json::from_str(&line).ok()
    }
}

async fn copy(mut output: pipe::Receiver, sink: impl Fn(&[u8])) {
    let mut chunk = vec![0; OUTPUT_CHUNK_BYTES];
    while let Ok(length @ 1..) = output.read(&mut chunk).await {
        sink(&chunk[..length]);
    }
}

/// Finds out how far this system lets containers be kept apart, by running one that does nothing.
pub async fn isolation(attempt: &Spec) -> (Isolation, Option<String>) {
    let mut why = None;
    for isolation in [Isolation::Root, Isolation::User] {
        let mut spec = attempt.clone();
        spec.isolation = isolation;
        let result = match Process::start(&spec, |_| {}).await {
            Ok(mut process) => {
                let started = process.started().await;
                process.cleared().await;
                started
            }
            Err(error) => Err(format!("{error:#}")),
        };
        match result {
            Ok(()) => return (isolation, None),
            Err(message) => why = Some(message),
        }
    }
    (Isolation::Plain, why)
}
