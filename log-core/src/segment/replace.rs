//! Putting whole small files in place: written beside, made durable, then renamed over.
//!
//! A cut at any point leaves the old content or the new one, never a mix (rename(2)).

use std::io;
use std::path::Path;

use super::files::remove_file;
use crate::disk::{Directory, File, Open};
use crate::int::{u64_from, usize_from};
use crate::mutant::{self, Mutant};

/// Largest small file that is read whole: hostile directories must not exhaust memory.
const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest file that grows with the producers: 155 bytes each for more than ten million.
const LARGE_FILE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Replaces `dir/name` by `bytes`.
///
/// # Durability
///
/// Durable when it returns.
pub(crate) fn replace(
    directory: &dyn Directory,
    dir: &Path,
    name: &str,
    bytes: &[u8],
) -> io::Result<()> {
    replace_all(directory, dir, &[(name, bytes)])
}

/// Replaces several files of `dir` and flushes their names once. Cut before that, each has its old
/// content or its new one.
///
/// # Durability
///
/// Durable when it returns.
pub(crate) fn replace_all(
    directory: &dyn Directory,
    dir: &Path,
    files: &[(&str, &[u8])],
) -> io::Result<()> {
    for (name, bytes) in files {
        let temporary = dir.join(format!("{name}.tmp"));
        remove_file(directory, &temporary)?;
        let file = directory.open(&temporary, Open::Create)?;
        write_full(&*file, 0, bytes)?;
        file.sync()?;
        directory.rename(&temporary, &dir.join(name))?;
    }
    if mutant::on(Mutant::SkipDirSync) { Ok(()) } else { directory.sync_dir(dir) }
}

/// The whole content of a small file; `None` if there is no such file.
pub(crate) fn read_small(directory: &dyn Directory, path: &Path) -> io::Result<Option<Vec<u8>>> {
    read_up_to(directory, path, SMALL_FILE_BYTES_MAX)
}

/// The same of a file that holds millions of producers.
pub(crate) fn read_large(directory: &dyn Directory, path: &Path) -> io::Result<Option<Vec<u8>>> {
    read_up_to(directory, path, LARGE_FILE_BYTES_MAX)
}

fn read_up_to(
    directory: &dyn Directory,
    path: &Path,
    bytes_max: u64,
) -> io::Result<Option<Vec<u8>>> {
    let file = match directory.open(path, Open::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bytes = file.len()?;
    if bytes > bytes_max {
        let what = format!("{bytes} bytes are more than any such file has");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut content = vec![0; usize_from(bytes)];
    let read = super::walk::read_full(&*file, 0, &mut content)?;
    content.truncate(read);
    Ok(Some(content))
}

/// Writes all of `bytes`, going on after short writes.
pub(crate) fn write_full(file: &dyn File, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write_at(at + u64_from(written), rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::{SimDirectory, Stop};

    #[test]
    fn row_08_a_cut_leaves_the_old_content_or_the_new_one_and_never_a_mix() {
        let (old, new) = (vec![b'o'; 3000], vec![b'n'; 2000]);
        let (mut olds, mut news) = (0, 0);
        for seed in 0..40 {
            for operation in 1.. {
                let disk = SimDirectory::new(seed);
                replace(&disk, Path::new("/"), "checkpoint", &old).unwrap();
                disk.arm(operation, Stop::Cut);
                let replaced = replace(&disk, Path::new("/"), "checkpoint", &new);
                let struck = disk.is_over();
                disk.cut();
                let next = disk.reborn();
                let left = read_small(&next, Path::new("/checkpoint")).unwrap().unwrap();
                assert!(left == old || left == new, "seed {seed}, operation {operation}");
                assert!(replaced.is_err() || left == new, "it is durable once it is done");
                olds += u32::from(left == old);
                news += u32::from(left == new);
                // Whatever was left beside it is in nobody's way.
                replace(&next, Path::new("/"), "checkpoint", b"third").unwrap();
                if !struck {
                    break;
                }
            }
        }
        assert!(olds > 40 && news > 40, "{olds} old, {news} new");
    }
}
