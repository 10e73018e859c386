//! Which instructions the kernels are run with.
//!
//! The best of the machine, found out once. It can be limited to less, for the whole process: the bits are the same,
//! so this serves to show that they are, and to measure what each instruction set is worth.

use pulp::Arch;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// A way to compile the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum InstructionSet {
    /// 512-bit registers.
    Avx512 = 1,
    /// 256-bit registers with fused multiply-add.
    Avx2 = 2,
    /// What every machine can do; fused multiply-add is a library call and slow.
    Portable = 3,
}

/// 0 before anybody asked or limited.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl InstructionSet {
    /// All of them, fastest first.
    pub const ALL: [InstructionSet; 3] =
        [InstructionSet::Avx512, InstructionSet::Avx2, InstructionSet::Portable];

    /// The one that kernels are run with.
    #[must_use]
    pub fn in_use() -> Self {
        match CHOSEN.load(Ordering::Relaxed) {
            1 => InstructionSet::Avx512,
            2 => InstructionSet::Avx2,
            3 => InstructionSet::Portable,
            _ => {
                let best = Self::best();
                CHOSEN.store(best as u8, Ordering::Relaxed);
                best
            }
        }
    }

    /// The best of this machine.
    #[cold]
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().find(|set| set.arch().is_some()).unwrap_or(InstructionSet::Portable)
    }

    /// Lets kernels be run with these instructions from now on, in the whole process. False, and nothing changes, where
    /// the machine does not have them.
    #[must_use]
    pub fn limit(self) -> bool {
        let has = self.arch().is_some();
        if has {
            CHOSEN.store(self as u8, Ordering::Relaxed);
        }
        has
    }

    /// `None` where the machine does not have them.
    #[inline]
    fn arch(self) -> Option<Arch> {
        #[cfg(target_arch = "x86_64")]
        match self {
            InstructionSet::Avx512 => pulp::x86::V4::try_new().map(Arch::V4),
            InstructionSet::Avx2 => pulp::x86::V3::try_new().map(Arch::V3),
            InstructionSet::Portable => Some(Arch::Scalar),
        }
        #[cfg(not(target_arch = "x86_64"))]
        (self == InstructionSet::Portable).then(Arch::new)
    }

    /// Its name in options and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            InstructionSet::Avx512 => "avx512",
            InstructionSet::Avx2 => "avx2",
            InstructionSet::Portable => "portable",
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for InstructionSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|set| set.as_str() == text)
            .ok_or_else(|| format!("there are avx512, avx2 and portable, not {text}"))
    }
}

/// The instructions to run a kernel with.
#[inline]
pub(crate) fn arch() -> Arch {
    InstructionSet::in_use().arch().unwrap_or_default()
}

/// 512-bit registers and their permutations, where they are in use.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn avx512() -> Option<pulp::x86::V4> {
    if InstructionSet::in_use() == InstructionSet::Avx512 { pulp::x86::V4::try_new() } else { None }
}

/// Runs a check with each instruction set of this machine. One check after the other: the limit is one of the process.
#[cfg(test)]
pub(crate) fn with_each(check: impl Fn()) {
    use std::sync::{Mutex, PoisonError};
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for set in InstructionSet::ALL.into_iter().filter(|set| set.limit()) {
        check();
        assert_eq!(InstructionSet::in_use(), set, "nobody else limits instructions meanwhile");
    }
    assert!(InstructionSet::best().limit());
}
