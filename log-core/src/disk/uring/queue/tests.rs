//! The ring by itself: bounds, order, passing errors, and drops with I/O in flight.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use super::*;
use crate::disk::aligned::BLOCK_BYTES;
use crate::disk::uring::ring::Issuer;
use crate::disk::{AlignedBuf, BlockingDirectory, Directory as _, Open, WriteSync};
use crate::int::u64_from;

/// A queue, unless this machine refuses a ring: then there is nothing to test, which is said.
fn queue(in_flight_max: u32, issuer: Issuer, small: Small) -> Option<Queue> {
    match Ring::new(in_flight_max, issuer) {
        Ok(ring) => Some(Queue::new(ring, small)),
        Err(error) => {
            println!("skipped: no ring here ({error})");
            None
        }
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    file: Arc<dyn File>,
}

impl Bench {
    fn new(direct: bool) -> Self {
        // Beside the build's other files: /tmp may be without direct writes.
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let directory = if direct { BlockingDirectory::direct() } else { BlockingDirectory::new() };
        let file = directory.open(&dir.path().join("f"), Open::Create).unwrap();
        Self { _dir: dir, file }
    }

    /// Block `number`, filled with a byte of its own.
    fn write(&self, number: u64, blocks: usize) -> Write {
        let mut buffer = AlignedBuf::with_capacity(blocks * BLOCK_BYTES);
        buffer.fill(&vec![fill(number); blocks * BLOCK_BYTES]);
        Write {
            token: Token(number),
            file: Arc::clone(&self.file),
            position: number * u64_from(blocks * BLOCK_BYTES),
            range: 0..buffer.len(),
            buffer,
            sync: WriteSync::None,
        }
    }

    /// Every block holds its own byte.
    fn check(&self, numbers: u64, blocks: usize) {
        let mut bytes = vec![0; blocks * BLOCK_BYTES];
        for number in 0..numbers {
            let at = number * u64_from(bytes.len());
            assert_eq!(self.file.read_at(at, &mut bytes).unwrap(), bytes.len(), "{number}");
            assert!(bytes.iter().all(|byte| *byte == fill(number)), "block {number}");
        }
    }
}

fn fill(number: u64) -> u8 {
    u8::try_from(number % 251).unwrap() + 1
}

/// Polls until nothing is in flight.
fn finish(queue: &mut Queue) -> Vec<Completion> {
    let mut all = Vec::new();
    while queue.in_flight() > 0 {
        queue.poll(1, &mut all).unwrap();
    }
    all
}

#[test]
fn row_43_a_tiny_completion_queue_loses_nothing() {
    for issuer in [Issuer::One, Issuer::Any] {
        let Some(mut queue) = queue(3, issuer, Small::Ring) else { return };
        let bench = Bench::new(false);
        assert_eq!(queue.ring.in_flight_max(), 3);
        for number in 0..64 {
            queue.submit_write(bench.write(number, 1));
        }
        assert_eq!(queue.in_flight(), 64);
        let mut tokens: Vec<u64> = finish(&mut queue)
            .into_iter()
            .map(|completion| {
                assert_eq!(completion.result.unwrap(), BLOCK_BYTES);
                assert!(completion.buffer.is_some(), "the buffer comes back");
                completion.token.0
            })
            .collect();
        tokens.sort_unstable();
        assert_eq!(tokens, (0..64).collect::<Vec<_>>());
        bench.check(64, 1);
    }
}

#[test]
fn row_44_completions_are_told_apart_by_token_whatever_their_order() {
    let Some(mut queue) = queue(64, Issuer::One, Small::Ring) else { return };
    let bench = Bench::new(true);
    for number in 0..24 {
        queue.submit_write(bench.write(number, 16));
        if number % 5 == 0 {
            queue.submit_sync(Token(1000 + number), &bench.file);
        }
    }
    let all = finish(&mut queue);
    assert_eq!(all.len(), 24 + 5);
    for completion in all {
        let is_write = completion.token.0 < 1000;
        assert_eq!(completion.buffer.is_some(), is_write);
        assert_eq!(completion.result.unwrap(), if is_write { 16 * BLOCK_BYTES } else { 0 });
        if let Some(buffer) = completion.buffer {
            assert_eq!(buffer.as_slice().first(), Some(&fill(completion.token.0)));
        }
    }
    bench.check(24, 16);
}

#[test]
fn row_45_a_cancelled_write_goes_again() {
    passing(nix::libc::ECANCELED);
}

#[test]
fn row_46_a_write_that_is_to_come_again_goes_again() {
    passing(nix::libc::EAGAIN);
    passing(nix::libc::EINTR);
}

/// The kernel is made to seem to answer `errno` three times.
fn passing(errno: i32) {
    let Some(mut queue) = queue(8, Issuer::Any, Small::Ring) else { return };
    let bench = Bench::new(true);
    queue.ring.planted = [-errno, -errno, -errno].into();
    queue.submit_write(bench.write(0, 1));
    queue.submit_write(bench.write(1, 1));
    let all = finish(&mut queue);
    assert_eq!(all.len(), 2, "each write is answered once");
    for completion in all {
        assert_eq!(completion.result.unwrap(), BLOCK_BYTES, "errno {errno}");
    }
    assert!(queue.ring.planted.is_empty());
    bench.check(2, 1);
}

#[test]
fn a_write_goes_again_a_bounded_number_of_times_and_a_flush_never() {
    let Some(mut queue) = queue(8, Issuer::Any, Small::Ring) else { return };
    let bench = Bench::new(false);
    let errno = nix::libc::EAGAIN;
    queue.ring.planted = std::iter::repeat_n(-errno, 17).collect();
    queue.submit_write(bench.write(0, 1));
    let [completion] = finish(&mut queue).try_into().unwrap();
    assert_eq!(completion.result.unwrap_err().raw_os_error(), Some(errno));
    assert!(completion.buffer.is_some());
    queue.ring.planted = [-errno].into();
    queue.submit_sync(Token(9), &bench.file);
    let [completion] = finish(&mut queue).try_into().unwrap();
    assert_eq!(completion.result.unwrap_err().raw_os_error(), Some(errno));
}

#[test]
fn row_55_a_direct_write_that_the_device_finds_invalid_goes_through_the_page_cache() {
    let Some(mut queue) = queue(8, Issuer::Any, Small::Ring) else { return };
    let bench = Bench::new(true);
    let first = bench.write(0, 1);
    let file = plain(&*bench.file).unwrap();
    if !file.hot_fd(0, first.buffer.as_slice()).1 {
        println!("skipped: no direct writes here");
        return;
    }
    queue.ring.planted = [-nix::libc::EINVAL].into();
    queue.submit_write(first);
    queue.submit_write(bench.write(1, 1));
    for completion in finish(&mut queue) {
        assert_eq!(completion.result.unwrap(), BLOCK_BYTES);
    }
    bench.check(2, 1);
    let next = bench.write(2, 1);
    assert!(!file.hot_fd(next.position, next.buffer.as_slice()).1, "from now on not direct");
    // One that was on its way directly when that was found goes again too; a plain one fails.
    let invalid = io::Error::from_raw_os_error(nix::libc::EINVAL);
    assert!(may_go_again(&next, Tried { times: 0, direct: true }, &invalid));
    assert!(!may_go_again(&next, Tried { times: 1, direct: false }, &invalid));
}

#[test]
fn row_47_a_queue_dropped_with_writes_in_flight_waits_for_them() {
    for direct in [false, true] {
        let Some(mut queue) = queue(64, Issuer::Any, Small::Ring) else { return };
        let bench = Bench::new(direct);
        for number in 0..64 {
            queue.submit_write(bench.write(number, 4));
        }
        queue.feed().unwrap();
        queue.ring.enter(0, None).unwrap();
        assert_eq!(queue.slots.taken(), 64);
        drop(queue);
        // All of them are there, from buffers that were not freed too early.
        bench.check(64, 4);
        assert_eq!(Arc::strong_count(&bench.file), 1, "and nothing was leaked");
    }
}

#[test]
fn row_47_a_queue_dropped_by_another_thread_than_its_own_leaks_and_does_not_free() {
    let Some(mut queue) = queue(64, Issuer::One, Small::Ring) else { return };
    let bench = Bench::new(true);
    for number in 0..32 {
        queue.submit_write(bench.write(number, 16));
    }
    queue.feed().unwrap();
    queue.ring.enter(0, None).unwrap();
    if queue.ring.is_for_any_thread() {
        println!("skipped: this kernel binds no ring to a thread");
        return;
    }
    std::thread::spawn(move || drop(queue)).join().unwrap();
    // Completions run in the issuer only, so the other thread could not know that they are done,
    // and the kernel may be reading the buffers still: they and their file stay.
    assert_eq!(Arc::strong_count(&bench.file), 1 + 32);
}

#[test]
fn a_waker_and_a_limit_end_a_wait_for_something_that_does_not_come() {
    let Some(mut queue) = queue(8, Issuer::One, Small::Ring) else { return };
    let bench = Bench::new(false);
    let (reader, mut writer) = io::pipe().unwrap();
    // A read of an empty pipe stands for I/O that does not end.
    let (slot, _) = queue.slots.put(Submission::Sync(Token(7), Arc::clone(&bench.file)));
    queue.ring.push_poll(slot, reader.as_fd()).unwrap();
    let mut out = Vec::new();
    queue.poll_until(Some(Duration::from_millis(1)), &mut out).unwrap();
    assert!(out.is_empty(), "the limit passed");
    let waker = queue.waker().unwrap();
    let thread = std::thread::spawn(move || waker.wake());
    queue.poll_until(None, &mut out).unwrap();
    assert!(out.is_empty(), "it was woken");
    thread.join().unwrap();
    writer.write_all(b"x").unwrap();
    queue.poll_until(None, &mut out).unwrap();
    assert_eq!(out.len(), 1);
}

#[test]
fn what_is_alone_and_small_needs_no_ring_and_streams_do() {
    let Some(mut queue) = queue(8, Issuer::One, Small::Blocking) else { return };
    let bench = Bench::new(true);
    queue.submit_write(bench.write(0, 1));
    let mut out = Vec::new();
    queue.poll(0, &mut out).unwrap();
    assert_eq!(out.len(), 1, "done within the poll");
    queue.submit_write(bench.write(1, 16));
    queue.run_alone();
    assert_eq!(queue.waiting.len(), 1, "a large write is part of a stream");
    queue.submit_sync(Token(2), &bench.file);
    queue.run_alone();
    assert_eq!(queue.waiting.len(), 2);
    assert_eq!(finish(&mut queue).len(), 2);
    bench.check(1, 1);
}
