//! Files in memory: the rules of the file system, without a disk.
//!
//! ```text
//!   MemoryDirectory ── tree: path ─▶ directory, or the content of a file
//!                   └─ locks: paths that somebody holds
//!   a path           relative ones start at the root: "/a/b" and "a/b" are one name
//! ```
//!
//! Durable at once, since there is no power to lose: a sync has nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Completion, Directory, Disk, Entry, EntryKind, File, Lock, Open, Token, Write};
use crate::int::{u64_from, usize_from};

/// A directory tree in memory. Clones are one tree.
#[derive(Clone, Debug)]
pub struct MemoryDirectory(Arc<Mutex<Tree>>);

#[derive(Debug)]
struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
    locks: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
enum Node {
    Directory,
    File(Arc<Content>),
}

/// The bytes of a file; they outlive its name as long as it is open.
#[derive(Debug, Default)]
struct Content(Mutex<Vec<u8>>);

impl MemoryDirectory {
    /// An empty tree: nothing but its root.
    #[must_use]
    pub fn new() -> Self {
        let nodes = BTreeMap::from([(PathBuf::new(), Node::Directory)]);
        Self(Arc::new(Mutex::new(Tree { nodes, locks: BTreeSet::new() })))
    }
}

impl Default for MemoryDirectory {
    fn default() -> Self {
        Self::new()
    }
}

/// The one form of a path: its names from the root on.
fn key(path: &Path) -> PathBuf {
    let mut key = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => key.push(name),
            Component::ParentDir => {
                key.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    key
}

impl Tree {
    /// Refuses a name whose directory is not there.
    fn check_parent(&self, key: &Path) -> io::Result<()> {
        match key.parent().map(|parent| self.nodes.get(parent)) {
            Some(Some(Node::Directory)) => Ok(()),
            Some(Some(Node::File(_))) => Err(io::ErrorKind::NotADirectory.into()),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn open(&mut self, key: PathBuf, open: Open) -> io::Result<Arc<Content>> {
        match (self.nodes.get(&key), open) {
            (Some(Node::Directory), _) => Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), Open::Create) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(content)), _) => Ok(Arc::clone(content)),
            (None, Open::Create) => {
                self.check_parent(&key)?;
                let content = Arc::new(Content::default());
                self.nodes.insert(key, Node::File(Arc::clone(&content)));
                Ok(content)
            }
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whatever stands in directory `key`, by name.
    fn children(&self, key: &Path) -> impl Iterator<Item = (&PathBuf, &Node)> {
        self.nodes.iter().filter(move |(path, _)| path.parent() == Some(key))
    }

    fn check_directory(&self, key: &Path) -> io::Result<()> {
        match self.nodes.get(key) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn check_file(&self, key: &Path) -> io::Result<()> {
        match self.nodes.get(key) {
            Some(Node::File(_)) => Ok(()),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Directory for MemoryDirectory {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let content = self.0.lock().open(key(path), open)?;
        Ok(Arc::new(MemoryFile { content, writable: open != Open::Read }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let key = key(path);
        let mut tree = self.0.lock();
        match tree.nodes.get(&key) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                tree.check_parent(&key)?;
                tree.nodes.insert(key, Node::Directory);
                Ok(())
            }
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let key = key(path);
        let tree = self.0.lock();
        tree.check_directory(&key)?;
        let entry = |(path, node): (&PathBuf, &Node)| {
            let kind = match node {
                Node::Directory => EntryKind::Directory,
                Node::File(_) => EntryKind::File,
            };
            Some(Entry::new(path.file_name()?.to_str()?.to_owned(), kind))
        };
        Ok(tree.children(&key).filter_map(entry).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (key(from), key(to));
        let mut tree = self.0.lock();
        let is_file = matches!(tree.nodes.get(&from), Some(Node::File(_)));
        if !is_file {
            tree.check_directory(&from)?;
        }
        tree.check_parent(&to)?;
        match tree.nodes.get(&to) {
            Some(Node::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::File(_)) if !is_file => return Err(io::ErrorKind::NotADirectory.into()),
            _ => {}
        }
        let inside = |path: &&PathBuf| path.starts_with(&from);
        let moved: Vec<PathBuf> = tree.nodes.keys().filter(inside).cloned().collect();
        for path in moved {
            if let (Some(node), Ok(rest)) = (tree.nodes.remove(&path), path.strip_prefix(&from)) {
                tree.nodes.insert(key(&to.join(rest)), node);
            }
        }
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let key = key(path);
        let mut tree = self.0.lock();
        tree.check_file(&key)?;
        tree.nodes.remove(&key);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let key = key(path);
        let mut tree = self.0.lock();
        tree.check_directory(&key)?;
        if tree.children(&key).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        tree.nodes.remove(&key);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.lock().check_directory(&key(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let key = key(path);
        let mut tree = self.0.lock();
        match tree.open(key.clone(), Open::Create) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !tree.locks.insert(key.clone()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(HeldLock { tree: Arc::clone(&self.0), key }))
    }

    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(MemoryQueue { done: Vec::new() }))
    }
}

/// A name that nobody else can lock.
#[derive(Debug)]
struct HeldLock {
    tree: Arc<Mutex<Tree>>,
    key: PathBuf,
}

impl Lock for HeldLock {}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.tree.lock().locks.remove(&self.key);
    }
}

/// One opening of a file.
#[derive(Debug)]
struct MemoryFile {
    content: Arc<Content>,
    writable: bool,
}

impl MemoryFile {
    /// The bytes, grown by zeros to at least `bytes`.
    fn grown(&self, bytes: u64) -> io::Result<parking_lot::MutexGuard<'_, Vec<u8>>> {
        if !self.writable {
            let what = "the file was opened to read";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        let mut content = self.content.0.lock();
        let more = bytes.saturating_sub(u64_from(content.len()));
        if more > 0 {
            // No memory is what no space is elsewhere.
            content
                .try_reserve(usize_from(more))
                .map_err(|error| io::Error::new(io::ErrorKind::StorageFull, error))?;
            content.resize(usize_from(bytes), 0);
        }
        Ok(content)
    }
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(u64_from(self.content.0.lock().len()))
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.content.0.lock();
        let rest = content.get(usize_from(position)..).unwrap_or_default();
        let bytes = rest.len().min(buffer.len());
        if let (Some(target), Some(source)) = (buffer.get_mut(..bytes), rest.get(..bytes)) {
            target.copy_from_slice(source);
        }
        Ok(bytes)
    }

    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        let end = position.saturating_add(u64_from(buffer.len()));
        // Nothing written lengthens nothing (pwrite(2)).
        let mut content = self.grown(if buffer.is_empty() { 0 } else { end })?;
        if let Some(target) = content.get_mut(usize_from(position)..usize_from(end)) {
            target.copy_from_slice(buffer);
        }
        Ok(buffer.len())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.grown(bytes).map(drop)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.grown(bytes)?.truncate(usize_from(bytes));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs each submission when it is made, and hands the results out when asked.
#[derive(Debug)]
struct MemoryQueue {
    done: Vec<Completion>,
}

impl Disk for MemoryQueue {
    fn submit_write(&mut self, write: Write) {
        let Write { token, file, position, buffer, range, .. } = write;
        let bytes = buffer.as_slice().get(range).unwrap_or_default();
        let result = file.write_at(position, bytes);
        self.done.push(Completion { token, result, buffer: Some(buffer) });
    }

    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>) {
        self.done.push(Completion { token, result: file.sync().map(|()| 0), buffer: None });
    }

    fn poll(&mut self, _: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        out.append(&mut self.done);
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.done.len()
    }
}
