//! A growing array in pages that a snapshot shares until they change.
//!
//! ```text
//!   live      [p0] [p1] [p2]        clone: one count per page
//!               │    │    │
//!   snapshot  [p0] [p1] [p2]        the first change of p1 afterwards copies p1, and p1 only
//! ```
//!
//! So taking a snapshot of a million producers holds the partition's lock for microseconds, and
//! growing never moves what is there.
//!
//! Invariant: values stand at 0 to `len`, all pages but the last are full, and only an array of one
//! page has a page smaller than [`PAGE`].

use std::sync::Arc;

use crate::int::{u32_saturated, usize_from_u32};

/// Values in a page: 16 KiB of producers.
const PAGE: usize = 256;
/// Values in the first page of a small array.
const FIRST: usize = 4;

/// The array.
#[derive(Clone, Debug)]
pub(super) struct Pages<T> {
    pages: Vec<Arc<[T]>>,
    len: usize,
}

impl<T: Copy + Default> Pages<T> {
    pub(super) const fn new() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        u32_saturated(self.len)
    }

    /// Bytes of memory, what is not used yet included.
    pub(super) fn memory_bytes(&self) -> usize {
        let counts = 2 * size_of::<usize>();
        let values: usize = self.pages.iter().map(|page| size_of_val(&**page) + counts).sum();
        values + self.pages.capacity() * size_of::<Arc<[T]>>()
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let index = usize_from_u32(index);
        if index >= self.len {
            return None;
        }
        self.pages.get(index / PAGE)?.get(index % PAGE)
    }

    /// The value at `index`, to be changed; a page that a snapshot holds is copied first.
    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let index = usize_from_u32(index);
        if index >= self.len {
            return None;
        }
        Arc::make_mut(self.pages.get_mut(index / PAGE)?).get_mut(index % PAGE)
    }

    /// Adds `value` and says where.
    pub(super) fn push(&mut self, value: T) -> u32 {
        let (number, at) = (self.len / PAGE, self.len % PAGE);
        match self.pages.get_mut(number) {
            None => {
                let size = if number == 0 { FIRST } else { PAGE };
                self.pages.push(vec![T::default(); size].into());
            }
            Some(page) if at >= page.len() => {
                let size = (2 * page.len()).min(PAGE);
                let fresh = core::iter::repeat_n(T::default(), size - page.len());
                *page = page.iter().copied().chain(fresh).collect();
            }
            Some(_) => {}
        }
        let index = u32_saturated(self.len);
        self.len += 1;
        if let Some(place) = self.get_mut(index) {
            *place = value;
        }
        index
    }

    /// Takes the last value away.
    pub(super) fn pop(&mut self) -> Option<T> {
        let last = *self.get(u32_saturated(self.len).checked_sub(1)?)?;
        self.len -= 1;
        self.pages.truncate(self.len.div_ceil(PAGE));
        Some(last)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter()).take(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_stands_where_it_was_pushed() {
        let mut pages = Pages::new();
        for value in 0..1000_u64 {
            assert_eq!(u64::from(pages.push(value)), value);
        }
        assert!((0..1000).all(|index| pages.get(index) == Some(&u64::from(index))));
        assert_eq!((pages.get(1000), pages.len()), (None, 1000));
        for value in (0..1000).rev() {
            assert_eq!(pages.pop(), Some(value));
        }
        assert_eq!((pages.pop(), pages.pages.len()), (None, 0));
    }

    #[test]
    fn a_clone_keeps_its_values_and_shares_the_pages_that_do_not_change() {
        let mut pages = Pages::new();
        for value in 0..600_u64 {
            pages.push(value);
        }
        let snapshot = pages.clone();
        *pages.get_mut(300).unwrap() = 0;
        assert_eq!((snapshot.get(300), pages.get(300)), (Some(&300), Some(&0)));
        let shared =
            pages.pages.iter().zip(&snapshot.pages).filter(|(one, other)| Arc::ptr_eq(one, other));
        assert_eq!(shared.count(), 2);
        pages.push(600);
        assert_eq!((snapshot.len(), snapshot.iter().count(), snapshot.get(600)), (600, 600, None));
    }

    #[test]
    fn a_small_array_takes_little() {
        let mut pages = Pages::new();
        pages.push([0_u64; 8]);
        assert!(pages.memory_bytes() <= 5 * 64 + 64, "{}", pages.memory_bytes());
    }
}
