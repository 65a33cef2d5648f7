//! A durable, segmented, partitioned append log in Kafka's file format.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!(
    "oncelog needs 64-bit Linux: its promise rests on fdatasync and io_uring as Linux has them"
);

pub mod clock;
pub mod disk;
pub mod entropy;
#[forbid(unsafe_code)]
#[deny(clippy::indexing_slicing)]
pub mod format;
pub mod ids;
mod int;
