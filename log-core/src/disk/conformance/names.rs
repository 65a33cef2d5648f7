//! Rules about names: who may be opened, created, listed, renamed, removed and locked.

use std::io::ErrorKind;

use super::{Case, Rule, Verdict, content, done, refused, refused_as, same, write};
use crate::disk::{EntryKind, Open};

pub(super) const RULES: &[Rule] = &[
    ("a file that is not there is not found", missing),
    ("a file is created once, and a second creation leaves it as it is", created_once),
    ("a name needs a directory to stand in", needs_a_parent),
    ("a directory is not opened as a file", no_file),
    ("a file opened to read takes no change", read_only),
    ("all openings of a file see one content", one_content),
    ("a directory is made below one that exists, and again is fine", directories),
    ("a list has the direct children, ascending, with their kinds", listed),
    ("what is no directory is not listed and not synced", not_listed),
    ("a rename takes the content along and frees the old name", renamed),
    ("a rename over a file replaces it, and its open handles keep the old content", renamed_over),
    ("a rename of nothing, or into nothing, or over a directory is refused", not_renamed),
    ("a directory is renamed with all that is in it, to a name that is free", renamed_whole),
    ("an unlinked file works on under its handles, and its name is free", unlinked),
    ("only a file is unlinked", not_unlinked),
    ("only an empty directory is removed", removed),
    ("a lock excludes a second one on the same file until it is let go", locked),
    ("a lock makes its file and leaves the content alone", lock_file),
];

fn missing(case: &Case<'_>) -> Verdict {
    refused_as("open to read", case.open("file", Open::Read), ErrorKind::NotFound)?;
    refused_as("open to write", case.open("file", Open::Write), ErrorKind::NotFound)?;
    same("the list", done("list", case.directory.list(&case.dir))?.len(), 0)
}

fn created_once(case: &Case<'_>) -> Verdict {
    let file = done("create", case.open("file", Open::Create))?;
    same("the length of a new file", done("length", file.len())?, 0)?;
    same("emptiness of a new file", done("is_empty", file.is_empty())?, true)?;
    write(&*file, 0, b"first")?;
    let again = case.open("file", Open::Create);
    refused_as("create again", again, ErrorKind::AlreadyExists)?;
    case.holds("file", b"first")?;
    done("create a directory", case.directory.create_dir(&case.path("dir")))?;
    refused("create a file over a directory", case.open("dir", Open::Create))
}

fn needs_a_parent(case: &Case<'_>) -> Verdict {
    for open in [Open::Read, Open::Write, Open::Create] {
        refused_as("open in a missing directory", case.open("no/file", open), ErrorKind::NotFound)?;
    }
    let made = case.directory.create_dir(&case.path("no/dir"));
    refused_as("a directory in a missing one", made, ErrorKind::NotFound)?;
    let lock = case.directory.lock(&case.path("no/lock"));
    refused_as("a lock in a missing directory", lock, ErrorKind::NotFound)?;
    case.file("file", b"")?;
    refused("create below a file", case.open("file/below", Open::Create))?;
    refused("a directory below a file", case.directory.create_dir(&case.path("file/below")))?;
    same("the list", done("list", case.directory.list(&case.dir))?.len(), 1)
}

fn no_file(case: &Case<'_>) -> Verdict {
    done("create a directory", case.directory.create_dir(&case.path("dir")))?;
    refused("open a directory to read", case.open("dir", Open::Read))?;
    refused("open a directory to write", case.open("dir", Open::Write))
}

fn read_only(case: &Case<'_>) -> Verdict {
    case.file("file", b"as it was")?;
    let file = done("open to read", case.open("file", Open::Read))?;
    refused("write", file.write_at(0, b"x"))?;
    refused("write through", file.write_through_at(0, b"x"))?;
    refused("allocate", file.allocate(8192))?;
    refused("set the length", file.set_len(2))?;
    case.holds("file", b"as it was")
}

fn one_content(case: &Case<'_>) -> Verdict {
    let first = case.file("file", b"....")?;
    let second = done("open to write", case.open("file", Open::Write))?;
    write(&*second, 1, b"ab")?;
    same("the first opening", content(&*first)?, b".ab.".to_vec())?;
    done("shorten", first.set_len(2))?;
    same("the second opening", content(&*second)?, b".a".to_vec())
}

fn directories(case: &Case<'_>) -> Verdict {
    done("create", case.directory.create_dir(&case.path("dir")))?;
    case.file("dir/file", b"kept")?;
    done("create again", case.directory.create_dir(&case.path("dir")))?;
    case.holds("dir/file", b"kept")?;
    let over = case.directory.create_dir(&case.path("dir/file"));
    refused_as("a directory over a file", over, ErrorKind::AlreadyExists)?;
    case.holds("dir/file", b"kept")?;
    done("sync of the directory", case.directory.sync_dir(&case.path("dir")))
}

fn listed(case: &Case<'_>) -> Verdict {
    done("create a directory", case.directory.create_dir(&case.path("b")))?;
    for name in ["c", "a-0", "a", "B", "10", "9", "b/inner"] {
        case.file(name, b"x")?;
    }
    let entries = done("list", case.directory.list(&case.dir))?;
    let found: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
    let (file, dir) = (EntryKind::File, EntryKind::Directory);
    let expected = [
        ("10", file),
        ("9", file),
        ("B", file),
        ("a", file),
        ("a-0", file),
        ("b", dir),
        ("c", file),
    ];
    same("the list", found.as_slice(), &expected[..])
}

fn not_listed(case: &Case<'_>) -> Verdict {
    case.file("file", b"")?;
    refused("list a file", case.directory.list(&case.path("file")))?;
    refused_as("list nothing", case.directory.list(&case.path("no")), ErrorKind::NotFound)?;
    refused_as("sync nothing", case.directory.sync_dir(&case.path("no")), ErrorKind::NotFound)?;
    refused("sync a file as a directory", case.directory.sync_dir(&case.path("file")))
}

fn renamed(case: &Case<'_>) -> Verdict {
    let file = case.file("old", b"content")?;
    done("rename", case.directory.rename(&case.path("old"), &case.path("new")))?;
    case.is_gone("old")?;
    case.holds("new", b"content")?;
    write(&*file, 7, b" and more")?;
    case.holds("new", b"content and more")?;
    done("sync the names", case.directory.sync_dir(&case.dir))?;
    case.file("old", b"another")?;
    case.holds("new", b"content and more")
}

fn renamed_over(case: &Case<'_>) -> Verdict {
    let target = case.file("target", b"old content")?;
    case.file("source", b"new")?;
    done("rename", case.directory.rename(&case.path("source"), &case.path("target")))?;
    case.is_gone("source")?;
    case.holds("target", b"new")?;
    same("the old handle", content(&*target)?, b"old content".to_vec())?;
    write(&*target, 0, b"OLD")?;
    case.holds("target", b"new")
}

fn not_renamed(case: &Case<'_>) -> Verdict {
    let to = |from: &str, to: &str| case.directory.rename(&case.path(from), &case.path(to));
    refused_as("rename nothing", to("no", "file"), ErrorKind::NotFound)?;
    case.file("file", b"kept")?;
    refused_as("rename into nothing", to("file", "no/file"), ErrorKind::NotFound)?;
    done("create a directory", case.directory.create_dir(&case.path("dir")))?;
    refused("rename over a directory", to("file", "dir"))?;
    case.holds("file", b"kept")
}

fn renamed_whole(case: &Case<'_>) -> Verdict {
    let path = |name: &str| case.path(name);
    done("create a directory", case.directory.create_dir(&path("dir")))?;
    let file = case.file("dir/file", b"content")?;
    done("create another", case.directory.create_dir(&path("taken")))?;
    case.file("taken/file", b"kept")?;
    refused(
        "rename over one that is not empty",
        case.directory.rename(&path("dir"), &path("taken")),
    )?;
    done("rename", case.directory.rename(&path("dir"), &path("new")))?;
    case.is_gone("dir")?;
    case.is_gone("dir/file")?;
    case.holds("new/file", b"content")?;
    write(&*file, 7, b" and more")?;
    done("sync the names", case.directory.sync_dir(&case.dir))?;
    done("sync those within", case.directory.sync_dir(&path("new")))?;
    case.holds("new/file", b"content and more")?;
    case.holds("taken/file", b"kept")
}

fn unlinked(case: &Case<'_>) -> Verdict {
    let file = case.file("file", b"content")?;
    done("unlink", case.directory.unlink(&case.path("file")))?;
    case.is_gone("file")?;
    write(&*file, 7, b"!")?;
    done("sync", file.sync())?;
    same("the open handle", content(&*file)?, b"content!".to_vec())?;
    case.file("file", b"another")?;
    same("the old handle beside a new file", content(&*file)?, b"content!".to_vec())?;
    case.holds("file", b"another")
}

fn not_unlinked(case: &Case<'_>) -> Verdict {
    let gone = case.directory.unlink(&case.path("no"));
    refused_as("unlink nothing", gone, ErrorKind::NotFound)?;
    done("create a directory", case.directory.create_dir(&case.path("dir")))?;
    refused("unlink a directory", case.directory.unlink(&case.path("dir")))?;
    same("the list", done("list", case.directory.list(&case.dir))?.len(), 1)
}

fn removed(case: &Case<'_>) -> Verdict {
    let remove = |name: &str| case.directory.remove_dir(&case.path(name));
    refused_as("remove nothing", remove("no"), ErrorKind::NotFound)?;
    done("create a directory", case.directory.create_dir(&case.path("dir")))?;
    case.file("dir/file", b"kept")?;
    refused("remove a directory that is not empty", remove("dir"))?;
    refused("remove a file as a directory", remove("dir/file"))?;
    case.holds("dir/file", b"kept")?;
    done("unlink", case.directory.unlink(&case.path("dir/file")))?;
    done("remove", remove("dir"))?;
    same("the list", done("list", case.directory.list(&case.dir))?.len(), 0)
}

fn locked(case: &Case<'_>) -> Verdict {
    let path = case.path("lock");
    let held = done("lock", case.directory.lock(&path))?;
    refused_as("a second lock", case.directory.lock(&path), ErrorKind::WouldBlock)?;
    refused_as("and again", case.directory.lock(&path), ErrorKind::WouldBlock)?;
    let other = done("a lock on another file", case.directory.lock(&case.path("other")))?;
    drop(held);
    let again = done("lock once it is free", case.directory.lock(&path))?;
    refused_as("a second lock again", case.directory.lock(&path), ErrorKind::WouldBlock)?;
    drop((again, other));
    done("lock at last", case.directory.lock(&path)).map(drop)
}

fn lock_file(case: &Case<'_>) -> Verdict {
    let held = done("lock", case.directory.lock(&case.path("lock")))?;
    case.holds("lock", b"")?;
    let file = done("open a locked file", case.open("lock", Open::Write))?;
    write(&*file, 0, b"4711")?;
    drop(held);
    let held = done("lock again", case.directory.lock(&case.path("lock")))?;
    case.holds("lock", b"4711")?;
    drop(held);
    case.holds("lock", b"4711")
}
