//! Files in memory.
use super::{Completion, Directory, Disk, Entry, EntryKind, File, Lock, Open, Token, Write};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Node {
    Dir,
    File(Arc<Content>),
}

#[derive(Debug, Default)]
struct Content(Mutex<Vec<u8>>);

/// A directory tree in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryDirectory(Arc<Mutex<BTreeMap<PathBuf, Node>>>);

impl MemoryDirectory {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[derive(Debug)]
struct Held;
impl Lock for Held {}

impl Directory for MemoryDirectory {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let mut nodes = self.0.lock();
        match (nodes.get(path), open) {
            (Some(Node::File(_)), Open::Create) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(content)), _) => {
                let file: Arc<dyn File> = Arc::<Content>::clone(content);
                Ok(file)
            }
            (Some(Node::Dir), _) => Err(io::ErrorKind::IsADirectory.into()),
            (None, Open::Create) => {
                let content = Arc::new(Content::default());
                nodes.insert(path.to_owned(), Node::File(Arc::clone(&content)));
                Ok(content)
            }
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.lock().entry(path.to_owned()).or_insert(Node::Dir);
        Ok(())
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let nodes = self.0.lock();
        Ok(nodes
            .iter()
            .filter(|(p, _)| p.parent() == Some(path))
            .filter_map(|(p, n)| {
                let name = p.file_name()?.to_str()?.to_owned();
                Some(Entry::new(
                    name,
                    if matches!(n, Node::Dir) { EntryKind::Directory } else { EntryKind::File },
                ))
            })
            .collect())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut nodes = self.0.lock();
        let node = nodes.remove(from).ok_or(io::ErrorKind::NotFound)?;
        nodes.insert(to.to_owned(), node);
        Ok(())
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.0.lock().remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.unlink(path)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, _: &Path) -> io::Result<Box<dyn Lock>> {
        Ok(Box::new(Held))
    }
    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(Queue { done: Vec::new() }))
    }
}

impl File for Content {
    fn len(&self) -> io::Result<u64> {
        Ok(crate::int::u64_from(self.0.lock().len()))
    }
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.lock();
        let from = bytes.get(crate::int::usize_from(position)..).unwrap_or_default();
        let n = from.len().min(buffer.len());
        buffer[..n].copy_from_slice(&from[..n]);
        Ok(n)
    }
    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        let mut bytes = self.0.lock();
        let at = crate::int::usize_from(position);
        if bytes.len() < at + buffer.len() {
            bytes.resize(at + buffer.len(), 0);
        }
        bytes[at..at + buffer.len()].copy_from_slice(buffer);
        Ok(buffer.len())
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut bytes = self.0.lock();
        let len = crate::int::usize_from(len);
        if bytes.len() < len {
            bytes.resize(len, 0);
        }
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().resize(crate::int::usize_from(len), 0);
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Queue {
    done: Vec<Completion>,
}

impl Disk for Queue {
    fn submit_write(&mut self, write: Write) {
        let result = write.file.write_at(
            write.position,
            write.buffer.as_slice().get(write.range.clone()).unwrap_or_default(),
        );
        self.done.push(Completion { token: write.token, result, buffer: Some(write.buffer) });
    }
    fn submit_sync(&mut self, token: Token, _: &Arc<dyn File>) {
        self.done.push(Completion { token, result: Ok(0), buffer: None });
    }
    fn poll(&mut self, _: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        out.append(&mut self.done);
        Ok(())
    }
    fn in_flight(&self) -> usize {
        self.done.len()
    }
}
