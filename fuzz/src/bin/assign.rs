//! Random groups against the laws of assignors: `assign [--cases N] [--seed-base S]`.

use std::process::ExitCode;

use groups::assignor::laws::{self, Case};
use groups::assignor::{Assignor, CooperativeSticky, Range, RoundRobin, Sticky};

/// `--name value` among the arguments.
fn argument(name: &str, default: u64) -> Result<u64, String> {
    let mut arguments = std::env::args();
    if arguments.find(|argument| argument == name).is_none() {
        return Ok(default);
    }
    let value = arguments.next().ok_or(format!("{name} needs a number"))?;
    value.parse().map_err(|error| format!("{name} {value}: {error}"))
}

fn run() -> Result<(), String> {
    let cases = argument("--cases", 100_000)?;
    let base = argument("--seed-base", 0)?;
    let strategies: [(&dyn Assignor, bool); 4] = [
        (&Range::new(), false),
        (&RoundRobin::new(), false),
        (&Sticky::new(), true),
        (&CooperativeSticky::new(), true),
    ];
    for (assignor, sticky) in strategies {
        let mut rounds = [0_u64; laws::ROUNDS_MAX + 1];
        for number in 0..cases {
            let case = Case::random(base.wrapping_add(number));
            let found = laws::check_case(assignor, &case).and_then(|()| {
                if sticky {
                    laws::check_sticky(assignor, &case)?;
                }
                laws::settle(assignor, &case)
            });
            let settled = found.map_err(|broken| format!("{}: {broken}", assignor.name()))?;
            rounds[settled] += 1;
        }
        println!(
            "{:20} {cases} groups keep the laws; rounds to settle {rounds:?}",
            assignor.name()
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}
