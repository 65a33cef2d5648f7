//! Zstandard: one frame that says how much it holds, as written; frames of any kind, as read.
//!
//! A frame may ask for a window of gigabytes to look back into. Up to 128 MiB are granted, the
//! library's own limit and that of Kafka's clients, whose highest level asks for just that; only as
//! much of it is ever touched as comes out.

use ::zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, compress_bound, get_error_name,
};

use super::error::{ENDS_TOO_EARLY, Stop};
use super::output::Output;

/// 2^27 bytes.
const WINDOW_LOG_MAX: u32 = 27;

fn damaged(code: usize) -> Stop {
    Stop::Damaged(get_error_name(code))
}

pub(super) fn decompress(compressed: &[u8], output: &mut Output) -> Result<(), Stop> {
    if compressed.is_empty() {
        return Ok(());
    }
    let mut context = DCtx::try_create().ok_or(Stop::Memory)?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(damaged)?;
    let mut input = InBuffer::around(compressed);
    loop {
        let spare = output.spare()?;
        let (from, room) = (spare.len(), spare.capacity());
        let mut out = OutBuffer::around_pos(spare, from);
        let wanted = context.decompress_stream(&mut out, &mut input).map_err(damaged)?;
        let full = out.pos() == room;
        if input.pos() < compressed.len() {
            continue;
        }
        // Nothing wanted: the last frame is whole and all of it written.
        match (wanted, full) {
            (0, _) => return Ok(()),
            (_, true) => {}
            (_, false) => return Err(ENDS_TOO_EARLY),
        }
    }
}

pub(super) fn compress(bytes: &[u8], level: i32, out: &mut Vec<u8>) -> Result<(), Stop> {
    let mut context = CCtx::try_create().ok_or(Stop::Memory)?;
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(damaged)?;
    let from = out.len();
    let bound = compress_bound(bytes.len());
    out.try_reserve(bound).map_err(|_| Stop::Memory)?;
    out.resize(from + bound, 0);
    let room = out.get_mut(from..).unwrap_or_default();
    let written = context.compress2(room, bytes).map_err(damaged)?;
    out.truncate(from + written);
    Ok(())
}
