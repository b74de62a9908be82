//! What a process takes of the machine, as Linux tells it in `/proc`.

use std::{fs, time::Duration};

use anyhow::Context;

/// Time on processors so far, of all its threads; `process` is a PID or `self`. Its children don't count.
pub fn cpu_time(process: &str) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("the name of the process ends with a parenthesis")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let user: u64 = fields.get(11).context("user time")?.parse()?;
    let system: u64 = fields.get(12).context("system time")?.parse()?;
    // Linux shows ticks of 10 ms to user space on every architecture that matters here.
    Ok(Duration::from_millis((user + system) * 10))
}

/// Memory that is in use now, in bytes; `process` is a PID or `self`.
pub fn resident_bytes(process: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS is told")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}
