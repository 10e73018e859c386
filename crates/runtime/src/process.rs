//! A process on this machine, told apart from every other that ever had its number.
//!
//! Numbers of processes are given again. A process is meant by its number, the moment at which it began, which the kernel counts from
//! the start of the machine, and which start of the machine that was. On Linux; elsewhere nothing is known of other processes.

use std::fs;
use std::io;

/// Which start of the machine this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Where in `/proc/PID/stat` the start stands, counted from the state behind the name.
const STARTED: usize = 19;

/// A process on this machine, alive or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in the kernel's ticks since the start of the machine.
    pub started: u64,
    /// Which start of the machine that was.
    pub boot: String,
}

impl Process {
    /// This process.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id()).ok_or_else(|| io::Error::other("the kernel does not tell of processes"))
    }

    /// The process of that number, where one runs.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: started_of(pid)?, boot: boot().ok()? })
    }

    /// Whether it runs. One that has ended and that nobody has looked after does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        started_of(self.pid) == Some(self.started) && boot().is_ok_and(|boot| boot == self.boot)
    }

    /// Asks it to stop, by SIGTERM, where it runs.
    ///
    /// # Errors
    /// Where it may not be asked.
    pub fn terminate(&self) -> io::Result<()> {
        match terminate(self) {
            Err(_) if !self.is_alive() => Ok(()),
            other => other,
        }
    }
}

#[cfg(target_os = "linux")]
fn terminate(process: &Process) -> io::Result<()> {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("it is the number of no process"))?;
    // What is opened stays the process that it is: nobody else is signalled, should it end now.
    let opened = pidfd_open(pid, PidfdFlags::empty())?;
    if process.is_alive() {
        pidfd_send_signal(opened, Signal::TERM)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn terminate(_: &Process) -> io::Result<()> {
    Err(io::Error::other("nothing is known of other processes here"))
}

/// When the process of that number began, if it runs.
fn started_of(pid: u32) -> Option<u64> {
    started(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The same from what `/proc/PID/stat` says. The name, which may hold anything, ends with the last bracket.
fn started(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace();
    let state = words.clone().next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    words.nth(STARTED)?.parse().ok()
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_read_whatever_a_process_is_called() {
        let rest = "S 1 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 4242 1000 20 18446744073709551615";
        let check = |stat: &str, wanted: Option<u64>| assert_eq!(started(stat), wanted, "{stat}");
        check(&format!("17 (spinwell) {rest}"), Some(4242));
        check(&format!("17 (a) R 9 (b) {rest}"), Some(4242));
        check(&format!("17 (spinwell) {}", rest.replacen('S', "Z", 1)), None);
        check("17 (spinwell) S 1 1", None);
        check("", None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn another_process_of_the_same_number_is_another() {
        let own = Process::own().unwrap();
        assert!(own.is_alive());
        let others = [
            Process { started: own.started + 1, ..own.clone() },
            Process { boot: "another".to_owned(), ..own.clone() },
            Process { pid: u32::MAX, ..own },
        ];
        for other in others {
            assert!(!other.is_alive(), "{other:?}");
            other.terminate().unwrap();
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_is_asked_to_stop_does() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        process.terminate().unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(!process.is_alive());
    }
}
