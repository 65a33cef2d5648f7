//! The fuzz targets: what is done with any list of bytes, and what must hold whatever they are.
//!
//! ```text
//!   fuzz_targets/NAME.rs    three lines for cargo-fuzz ─┐
//!   tests/replay.rs         corpus, regressions        ─┼─▶ Target::run      panics on a finding
//!   bin/corpus.rs           writes the first inputs    ─┘   Target::seeds
//! ```
//!
//! A target returns whatever the bytes; a panic is a finding. Memory and time are bounded by the
//! runner (`-malloc_limit_mb`, `-timeout`); what a target itself takes in is bounded here.

pub mod batch;
pub mod canary;
pub mod files;
pub mod names;
pub mod ops;
pub mod record;
pub mod snapshot;
pub mod store;

/// One target.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "test machinery")]
pub struct Target {
    /// Its name, that of its shell and of its corpus.
    pub name: &'static str,
    /// Does it.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All that must hold.
pub const ALL: &[Target] = &[
    Target { name: "batch_parse", run: batch::parse, seeds: batch::seeds },
    Target { name: "batch_parse_fixcrc", run: batch::parse_fixcrc, seeds: batch::flagged_seeds },
    Target { name: "record_iter", run: record::iterate, seeds: record::seeds },
    Target { name: "varint", run: record::varints, seeds: record::varint_seeds },
    Target { name: "side_files", run: files::parse, seeds: files::seeds },
    Target { name: "names", run: names::parse, seeds: names::seeds },
    Target { name: "index_open", run: store::index, seeds: store::index_seeds },
    Target { name: "segment_recover", run: store::segment, seeds: store::segment_seeds },
    Target { name: "dir_recover", run: store::directory, seeds: store::directory_seeds },
    Target { name: "snapshot", run: snapshot::run, seeds: snapshot::seeds },
    Target { name: "ops", run: ops::run, seeds: ops::seeds },
    Target { name: "ops_damage", run: ops::run_damaged, seeds: ops::seeds },
];

/// The one that must fail: a fuzzer that does not find it finds nothing.
pub const CANARY: Target = Target { name: "canary", run: canary::run, seeds: canary::seeds };

/// The target of that name, the canary included.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().chain([&CANARY]).find(|target| target.name == name)
}
