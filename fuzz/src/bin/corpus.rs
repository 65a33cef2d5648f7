//! Writes the first inputs of each target into `fuzz/corpus`, where a target has none.

#![expect(clippy::print_stdout, reason = "a runner reports to people")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use fuzz::targets::{ALL, CANARY};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ALL.iter().chain([&CANARY]) {
        let dir = root.join(target.name);
        for seed in (target.seeds)() {
            let path = dir.join(format!("seed-{:08x}", crc32fast::hash(&seed)));
            let written = fs::create_dir_all(&dir).and_then(|()| fs::write(&path, &seed));
            if let Err(error) = written {
                println!("corpus: {}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        }
        println!("corpus: {}", target.name);
    }
    ExitCode::SUCCESS
}
