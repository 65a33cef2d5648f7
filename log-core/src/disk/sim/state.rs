//! The whole disk: names, files, chance, and the clockwork of stops.

use core::ops::{Bound, Range};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::aim::{Aims, Call, Effect, failure};
use super::faults::{Faults, Stop};
use super::image::{Image, Snapshot};
use super::queue::InFlight;
use crate::disk::Open;
use crate::int::{u64_from, usize_from};

/// What a name stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Node {
    Directory,
    File(usize),
}

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
enum Change {
    Set(PathBuf, Option<Node>),
    Rename(PathBuf, PathBuf, Node),
}

/// All names by their whole paths: in the order of their bytes, which is quick to compare.
type Names = BTreeMap<OsString, Node>;

/// The disk behind every life.
#[derive(Debug)]
pub(super) struct State {
    pub(super) names: Names,
    durable_names: Names,
    changes: Vec<(PathBuf, Change)>,
    images: Vec<Image>,
    pub(super) in_flight: Vec<InFlight>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) faults: Faults,
    pub(super) aims: Aims,
    pub(super) capacity: Option<u64>,
    pub(super) random: Random,
    pub(super) armed: Option<(u64, Stop)>,
    pub(super) life: u64,
    pub(super) over: bool,
    pub(super) operations: u64,
    pub(super) violations: Vec<String>,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let root = Names::from([("/".into(), Node::Directory)]);
        Self {
            names: root.clone(),
            durable_names: root,
            changes: Vec::new(),
            images: Vec::new(),
            in_flight: Vec::new(),
            locks: BTreeSet::new(),
            faults: Faults::default(),
            aims: Aims::default(),
            capacity: None,
            random: Random(seed),
            armed: None,
            life: 0,
            over: false,
            operations: 0,
            violations: Vec::new(),
        }
    }

    /// Counts one operation of `life`; an armed stop strikes before it.
    pub(super) fn step(&mut self, life: u64) -> io::Result<()> {
        if self.over || self.life != life {
            return Err(io::Error::other("this life of the simulated disk is over"));
        }
        self.operations += 1;
        if let Some((left, stop)) = &mut self.armed {
            *left = left.saturating_sub(1);
            if *left == 0 {
                let stop = *stop;
                self.stop(stop);
                return Err(io::Error::other("this life of the simulated disk is over"));
            }
        }
        Ok(())
    }

    /// Ends the life.
    pub(super) fn stop(&mut self, stop: Stop) {
        if self.over {
            return;
        }
        self.over = true;
        self.armed = None;
        self.locks.clear();
        for mut flying in core::mem::take(&mut self.in_flight) {
            if let Some((image, bytes)) = flying
                .write_mut()
                .and_then(|write| Some((self.images.get_mut(write.inode)?, write.bytes().to_vec())))
            {
                image.write_torn(flying.position(), &bytes, &mut self.random);
            }
        }
        if stop == Stop::Cut {
            self.cut();
        }
    }

    fn cut(&mut self) {
        for image in &mut self.images {
            image.cut(&mut self.random);
        }
        for (_, change) in core::mem::take(&mut self.changes) {
            if self.random.one_in(2) {
                apply(&mut self.durable_names, &change);
            }
        }
        // What stands in a directory whose own name is gone is gone.
        let known = self.durable_names.clone();
        self.durable_names.retain(|path, _| {
            let ancestors = Path::new(path).ancestors().skip(1);
            ancestors.into_iter().all(|up| known.contains_key(up.as_os_str()))
        });
        self.names.clone_from(&self.durable_names);
    }

    pub(super) fn next_life(&mut self) -> u64 {
        if !self.over {
            self.stop(Stop::Crash);
        }
        self.over = false;
        self.life += 1;
        self.life
    }

    /// What is to become of a call on the file or directory `path`.
    fn strike_name(&self, call: Call, path: &Path) -> io::Result<()> {
        failure(self.aims.strike(call, path, &(0..u64::MAX))).map(drop)
    }

    /// What is to become of a call that touches `bytes` of file `inode`.
    pub(super) fn strike(&self, call: Call, inode: usize, bytes: &Range<u64>) -> Option<Effect> {
        if self.aims.is_empty() {
            return None;
        }
        let named =
            |(_, node): &(&OsString, &Node)| matches!(node, Node::File(file) if *file == inode);
        let path = self.names.iter().find(named).map_or(Path::new(""), |(path, _)| Path::new(path));
        self.aims.strike(call, path, bytes)
    }

    pub(super) fn open(&mut self, path: &Path, open: Open) -> io::Result<usize> {
        self.strike_name(Call::Open, path)?;
        match (self.names.get(path.as_os_str()), open) {
            (Some(Node::Directory), _) => Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), Open::Create) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(inode)), _) => Ok(*inode),
            (None, Open::Create) => {
                let inode = self.images.len();
                self.images.push(Image::default());
                self.set_name(path, Some(Node::File(inode)))?;
                Ok(inode)
            }
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn set_name(&mut self, path: &Path, node: Option<Node>) -> io::Result<()> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        self.check_directory(parent)?;
        let change = Change::Set(path.to_owned(), node);
        apply(&mut self.names, &change);
        self.changes.push((parent.to_owned(), change));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.strike_name(Call::Rename, from)?;
        let node = *self.names.get(from.as_os_str()).ok_or(io::ErrorKind::NotFound)?;
        let parent = to.parent().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        self.check_directory(&parent)?;
        match (node, self.names.get(to.as_os_str())) {
            (_, Some(Node::Directory)) => return Err(io::ErrorKind::IsADirectory.into()),
            (Node::Directory, Some(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            _ => {}
        }
        let change = Change::Rename(from.to_owned(), to.to_owned(), node);
        apply(&mut self.names, &change);
        if matches!(node, Node::File(_)) {
            self.changes.push((parent, change));
            return Ok(());
        }
        // What is not durable within a directory moves along with it.
        let (mut inside, outside): (Vec<_>, Vec<_>) = core::mem::take(&mut self.changes)
            .into_iter()
            .partition(|(parent, _)| parent.starts_with(from));
        for (parent, change) in &mut inside {
            *parent = moved(parent, from, to);
            match change {
                Change::Set(path, _) => *path = moved(path, from, to),
                Change::Rename(old, new, _) => {
                    *old = moved(old, from, to);
                    *new = moved(new, from, to);
                }
            }
        }
        self.changes = outside;
        self.changes.push((parent, change));
        self.changes.append(&mut inside);
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        self.strike_name(Call::Unlink, path)?;
        self.file(path)?;
        self.set_name(path, None)
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        self.check_directory(path)?;
        if self.children(path).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.set_name(path, None)
    }

    /// The paths in directory `path`, ascending.
    pub(super) fn children<'a>(
        &'a self,
        path: &'a Path,
    ) -> impl Iterator<Item = (&'a Path, &'a Node)> {
        let mut inside = path.as_os_str().to_owned();
        if path.parent().is_some() {
            inside.push("/");
        }
        let start = inside.clone();
        let names = self.names.range::<OsStr, _>((Bound::Excluded(&*start), Bound::Unbounded));
        names
            .take_while(move |(name, _)| {
                name.as_encoded_bytes().starts_with(inside.as_encoded_bytes())
            })
            .map(|(name, node)| (Path::new(name), node))
            .filter(move |(name, _)| name.parent() == Some(path))
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.strike_name(Call::SyncDir, path)?;
        self.check_directory(path)?;
        let changes = core::mem::take(&mut self.changes);
        for (parent, change) in changes {
            if parent == path {
                apply(&mut self.durable_names, &change);
            } else {
                self.changes.push((parent, change));
            }
        }
        Ok(())
    }

    pub(super) fn check_directory(&self, path: &Path) -> io::Result<()> {
        match self.names.get(path.as_os_str()) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn file(&self, path: &Path) -> io::Result<Node> {
        match self.names.get(path.as_os_str()) {
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            Some(file) => Ok(*file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn inode(&mut self, inode: usize) -> &mut Image {
        if inode >= self.images.len() {
            self.images.resize_with(inode + 1, Image::default);
        }
        match self.images.get_mut(inode) {
            Some(image) => image,
            None => unreachable!("just made"),
        }
    }

    fn has_room(&self, inode: usize, len: u64) -> bool {
        let Some(capacity) = self.capacity else { return true };
        let bytes = |node: &Node| match node {
            Node::File(inode) => self.images.get(*inode).map_or(0, Image::len),
            Node::Directory => 0,
        };
        let used: u64 = self.names.values().map(bytes).sum();
        let grows = len.saturating_sub(self.images.get(inode).map_or(0, Image::len));
        grows == 0 || used + grows <= capacity
    }

    pub(super) fn allocate(&mut self, inode: usize, len: u64) -> io::Result<()> {
        failure(self.strike(Call::Allocate, inode, &(0..u64::MAX)))?;
        if !self.has_room(inode, len) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.inode(inode).len() < len {
            self.inode(inode).set_len(len);
        }
        Ok(())
    }

    pub(super) fn read_at(
        &mut self,
        inode: usize,
        at: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let touched = at..at.saturating_add(u64_from(buffer.len()));
        let struck = failure(self.strike(Call::Read, inode, &touched))?;
        let Faults { read_error, short_read, .. } = self.faults;
        if self.random.chance(read_error) {
            return Err(eio());
        }
        let short = self.random.chance(short_read) && buffer.len() > 1;
        let want = match struck {
            Some(Effect::Move(most)) => most.min(buffer.len()),
            _ if short => self.random.between(1, buffer.len()),
            _ => buffer.len(),
        };
        let live = self.inode(inode).live();
        let rest = live.get(usize_from(at)..).unwrap_or_default();
        let bytes = rest.len().min(want);
        for (target, byte) in buffer.iter_mut().zip(rest.iter().take(bytes)) {
            *target = *byte;
        }
        Ok(bytes)
    }

    pub(super) fn write_at(&mut self, inode: usize, at: u64, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if !self.has_room(inode, at + u64_from(bytes.len())) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let bytes = self.strike_write(inode, at, bytes)?;
        self.inode(inode).write(at, bytes);
        Ok(bytes.len())
    }

    /// The part of a write that an aimed fault lets through. Of a failed one any sectors land.
    pub(super) fn strike_write<'a>(
        &mut self,
        inode: usize,
        at: u64,
        bytes: &'a [u8],
    ) -> io::Result<&'a [u8]> {
        match failure(self.strike(Call::Write, inode, &(at..at + u64_from(bytes.len())))) {
            Ok(Some(Effect::Move(most))) => Ok(bytes.get(..most).unwrap_or(bytes)),
            Ok(_) => Ok(bytes),
            Err(error) => {
                self.tear(inode, at, bytes);
                Err(error)
            }
        }
    }

    /// Lands any sectors of a write.
    pub(super) fn tear(&mut self, inode: usize, at: u64, bytes: &[u8]) {
        let mut random = core::mem::replace(&mut self.random, Random::fork(0));
        self.inode(inode).write_torn(at, bytes, &mut random);
        self.random = random;
    }

    /// A blocking sync: submitted and finished at once.
    pub(super) fn sync_now(&mut self, inode: usize) -> io::Result<()> {
        let snapshot = self.inode(inode).snapshot();
        self.finish_sync(inode, snapshot)
    }

    pub(super) fn finish_sync(&mut self, inode: usize, snapshot: Snapshot) -> io::Result<()> {
        let Faults { sync_error, lying_sync, .. } = self.faults;
        let struck = match failure(self.strike(Call::Sync, inode, &(0..u64::MAX))) {
            Err(error) => {
                self.inode(inode).forsake(snapshot);
                return Err(error);
            }
            Ok(struck) => struck,
        };
        if self.random.chance(sync_error) {
            self.inode(inode).forsake(snapshot);
            return Err(eio());
        }
        if !self.random.chance(lying_sync) && struck != Some(Effect::Lie) {
            self.inode(inode).flushed(snapshot);
        }
        Ok(())
    }

    pub(super) fn flip(&mut self, path: &Path, at: u64, mask: u8) -> bool {
        match self.names.get(path.as_os_str()) {
            Some(Node::File(inode)) => {
                let inode = *inode;
                self.inode(inode).flip(at, mask)
            }
            _ => false,
        }
    }

    pub(super) fn shorten(&mut self, path: &Path, bytes: u64) {
        if let Some(Node::File(inode)) = self.names.get(path.as_os_str()) {
            let inode = *inode;
            self.inode(inode).shorten(bytes);
        }
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let files = self.names.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.into()).collect()
    }

    pub(super) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        match self.names.get(path.as_os_str())? {
            Node::File(inode) => Some(self.images.get(*inode)?.live().to_vec()),
            Node::Directory => None,
        }
    }
}

fn apply(names: &mut Names, change: &Change) {
    match change {
        Change::Set(path, Some(node)) => {
            names.insert(path.into(), *node);
        }
        Change::Set(path, None) => {
            names.remove(path.as_os_str());
        }
        Change::Rename(from, to, node @ Node::File(_)) => {
            names.remove(from.as_os_str());
            names.insert(to.into(), *node);
        }
        Change::Rename(from, to, node @ Node::Directory) => {
            let inside = |name: &&OsString| Path::new(name).starts_with(from);
            let inside: Vec<OsString> = names.keys().filter(inside).cloned().collect();
            for name in inside {
                if let Some(node) = names.remove(&name) {
                    names.insert(moved(Path::new(&name), from, to).into(), node);
                }
            }
            names.insert(to.into(), *node);
        }
    }
}

/// The error of a change to a file that was opened to read, or is of another disk.
pub(super) fn opened_to_read() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::BADF.raw_os_error())
}

/// What `path`, at or below `from`, is called once `from` is called `to`.
fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        Ok(rest) if rest == Path::new("") => to.to_owned(),
        Ok(rest) => to.join(rest),
        Err(_) => path.to_owned(),
    }
}

/// The error of a device that failed.
pub(super) fn eio() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

/// Chance that follows from a seed (`SplitMix64`).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Another sequence, to stand in while this one is lent out.
    pub(super) const fn fork(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(super) fn chance(&mut self, of_65536: u16) -> bool {
        of_65536 > 0 && self.below(1 << 16) < u64::from(of_65536)
    }

    /// A number from `least` to `most`, both included.
    pub(super) fn between(&mut self, least: usize, most: usize) -> usize {
        let span = u64_from(most.saturating_sub(least)) + 1;
        least + usize_from(self.below(span))
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}
