//! Rules about what is no regular file: links, FIFOs. A hostile directory may hold any of it.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{Case, Rule, Verdict, done, refused, same};
use crate::disk::{EntryKind, Open};

pub(super) const RULES: &[Rule] = &[
    ("a link is never opened, wherever it leads", link),
    ("a FIFO is refused and does not hang", fifo),
    ("what is neither file nor directory is listed as other", listed),
    ("a link where a file would be made is in the way", link_in_the_way),
    ("a rename over a link replaces the link and not what it leads to", renamed_over),
    ("an unlinked link leaves what it leads to", unlinked),
    ("a lock file that is a link is refused", lock),
];

fn link(case: &Case<'_>) -> Verdict {
    case.file("file", b"secret")?;
    done("create a directory", case.directory.create_dir(&case.path("dir")))?;
    for (name, target) in [("to-file", "file"), ("to-dir", "dir"), ("to-itself", "to-itself")] {
        done("symlink", symlink(case.path(target), case.path(name)))?;
        refused(&format!("open {name} to read"), case.open(name, Open::Read))?;
        refused(&format!("open {name} to write"), case.open(name, Open::Write))?;
    }
    Ok(())
}

fn fifo(case: &Case<'_>) -> Verdict {
    let mode = Mode::from_raw_mode(0o600);
    let fifo = mknodat(CWD, case.path("fifo"), FileType::Fifo, mode, 0);
    done("mkfifo", fifo.map_err(Into::into))?;
    refused("open a FIFO to read", case.open("fifo", Open::Read))?;
    refused("open a FIFO to write", case.open("fifo", Open::Write))
}

fn listed(case: &Case<'_>) -> Verdict {
    case.file("file", b"")?;
    done("symlink", symlink(case.path("file"), case.path("link")))?;
    let entries = done("list", case.directory.list(&case.dir))?;
    let found: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
    let expected = [("file", EntryKind::File), ("link", EntryKind::Other)];
    same("the list", found.as_slice(), &expected[..])
}

fn link_in_the_way(case: &Case<'_>) -> Verdict {
    done("symlink to nothing", symlink(case.path("nothing"), case.path("link")))?;
    let created = case.open("link", Open::Create);
    super::refused_as("create over a link", created, ErrorKind::AlreadyExists)?;
    case.is_gone("nothing")
}

fn renamed_over(case: &Case<'_>) -> Verdict {
    case.file("target", b"kept")?;
    case.file("source", b"new")?;
    done("symlink", symlink(case.path("target"), case.path("link")))?;
    done("rename", case.directory.rename(&case.path("source"), &case.path("link")))?;
    case.holds("link", b"new")?;
    case.holds("target", b"kept")
}

fn unlinked(case: &Case<'_>) -> Verdict {
    case.file("target", b"kept")?;
    done("symlink", symlink(case.path("target"), case.path("link")))?;
    done("unlink", case.directory.unlink(&case.path("link")))?;
    case.is_gone("link")?;
    case.holds("target", b"kept")
}

fn lock(case: &Case<'_>) -> Verdict {
    case.file("target", b"kept")?;
    done("symlink", symlink(case.path("target"), case.path("link")))?;
    refused("lock a link", case.directory.lock(&case.path("link")))
}
