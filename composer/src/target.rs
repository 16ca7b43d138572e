//! What can be compiled for: target triples and named CPU levels.
//!
//! A level is a fixed list of features, never "what this machine has": the same recipe gives the same code
//! everywhere, and the manifest says which CPU can run it.

use std::fmt;

/// The targets that this version compiles for.
///
/// riscv64 is not among them: without the V extension, Cranelift 0.135 panics on components with 128-bit
/// stores, and the baseline has no V.
pub const TRIPLES: [&str; 3] =
    ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "s390x-unknown-linux-gnu"];

/// A named set of CPU features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuLevel {
    /// What every CPU of the architecture has.
    Baseline,
    /// The psABI's x86-64-v2.
    X86V2,
    /// The psABI's x86-64-v3.
    X86V3,
    /// The psABI's x86-64-v4.
    X86V4,
}

/// Cranelift's flags of the x86-64 levels, each an addition to the one before. Cranelift has no flags for the
/// rest of what the psABI lists (MOVBE, F16C and others): it never uses those instructions.
const V2: &[&str] = &["has_cmpxchg16b", "has_popcnt", "has_sse3", "has_sse41", "has_sse42", "has_ssse3"];
const V3: &[&str] = &[
    "has_avx",
    "has_avx2",
    "has_bmi1",
    "has_bmi2",
    "has_cmpxchg16b",
    "has_fma",
    "has_lzcnt",
    "has_popcnt",
    "has_sse3",
    "has_sse41",
    "has_sse42",
    "has_ssse3",
];
const V4: &[&str] = &[
    "has_avx",
    "has_avx2",
    "has_avx512dq",
    "has_avx512f",
    "has_avx512vl",
    "has_bmi1",
    "has_bmi2",
    "has_cmpxchg16b",
    "has_fma",
    "has_lzcnt",
    "has_popcnt",
    "has_sse3",
    "has_sse41",
    "has_sse42",
    "has_ssse3",
];

impl CpuLevel {
    /// Every level.
    pub const ALL: [Self; 4] = [Self::Baseline, Self::X86V2, Self::X86V3, Self::X86V4];

    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::X86V2 => "x86-64-v2",
            Self::X86V3 => "x86-64-v3",
            Self::X86V4 => "x86-64-v4",
        }
    }

    /// The level of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// Cranelift's names of its features, sorted.
    pub fn features(self) -> &'static [&'static str] {
        match self {
            Self::Baseline => &[],
            Self::X86V2 => V2,
            Self::X86V3 => V3,
            Self::X86V4 => V4,
        }
    }

    /// Whether the level is one of this target's.
    pub fn fits(self, triple: &str) -> bool {
        self == Self::Baseline || triple.starts_with("x86_64-")
    }
}

/// One target of a composition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    triple: &'static str,
    cpu: CpuLevel,
}

impl Target {
    /// A target, if this version compiles for it and the CPU level is one of its own.
    pub fn new(triple: &str, cpu: CpuLevel) -> Option<Self> {
        let triple = TRIPLES.into_iter().find(|known| *known == triple)?;
        cpu.fits(triple).then_some(Self { triple, cpu })
    }

    /// The machine that composes, if this version compiles for it and the CPU level is one of its own.
    pub fn here(cpu: CpuLevel) -> Option<Self> {
        let here = target_lexicon::HOST;
        let same = |triple: &target_lexicon::Triple| {
            triple.architecture == here.architecture && triple.operating_system == here.operating_system
        };
        let triple = TRIPLES.into_iter().find(|triple| triple.parse().as_ref().is_ok_and(same))?;
        Self::new(triple, cpu)
    }

    /// The target of a recipe that names none: the machine that composes, or x86-64 Linux where that is not a
    /// supported target.
    pub fn default_triple() -> &'static str {
        Self::here(CpuLevel::Baseline).map_or(TRIPLES[0], |target| target.triple)
    }

    /// The target triple.
    pub fn triple(&self) -> &'static str {
        self.triple
    }

    /// The CPU level.
    pub fn cpu(&self) -> CpuLevel {
        self.cpu
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.triple, self.cpu.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_grow_and_are_sorted() {
        for pair in CpuLevel::ALL.windows(2) {
            assert!(pair[0].features().iter().all(|feature| pair[1].features().contains(feature)));
        }
        assert!(CpuLevel::ALL.iter().all(|level| level.features().is_sorted()));
    }

    #[test]
    fn a_level_belongs_to_its_architecture() {
        assert!(Target::new("x86_64-unknown-linux-gnu", CpuLevel::X86V3).is_some());
        assert!(Target::new("aarch64-unknown-linux-gnu", CpuLevel::X86V3).is_none());
        assert!(Target::new("aarch64-unknown-linux-gnu", CpuLevel::Baseline).is_some());
        assert!(Target::new("sparc-unknown-linux-gnu", CpuLevel::Baseline).is_none());
    }
}
