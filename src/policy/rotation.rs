//! A file of lines that is bounded: when it is full it becomes `FILE.1`, that one `FILE.2` and so on, and the oldest goes.
//!
//! Crates for this swallow errors or expect that nobody else touches the folder. Here a write that fails is told, leaves no
//! half line behind, and a file that was moved or deleted by others is made anew instead of being written to unseen. What is no
//! regular file, as a pipe or a device, is written to as it is, without bounds.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub bytes: u64,
    /// Files, with the one that is written to; at least 1.
    pub files: usize,
}

/// The file.
#[derive(Debug)]
pub struct Rotating {
    path: PathBuf,
    limits: Limits,
    /// Nothing after a failure: the next write begins anew.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// `None` where there is no such thing.
    length: Option<u64>,
    identity: (u64, u64),
}

impl Rotating {
    /// Opens or makes the file; what is in it stays.
    ///
    /// # Errors
    /// It can't be written to.
    pub fn open(path: &Path, limits: Limits) -> io::Result<Rotating> {
        let open = Some(Open::at(path)?);
        Ok(Rotating { path: path.to_owned(), limits, open })
    }

    /// Adds whole lines, all or none of them.
    ///
    /// # Errors
    /// They could not be written; a later call tries anew.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut open = match self.open.take().filter(|open| open.is_at(&self.path)) {
            Some(open) => open,
            None => Open::at(&self.path)?,
        };
        if open.length.is_some_and(|length| length > 0 && self.limits.bytes < length + lines.len() as u64) {
            self.rotate()?;
            open = Open::at(&self.path)?;
        }
        open.write(lines)?;
        self.open = Some(open);
        Ok(())
    }

    /// Sees to it that all is on the disk.
    ///
    /// # Errors
    /// It may not be.
    pub fn sync(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data())
    }

    fn rotate(&self) -> io::Result<()> {
        if self.limits.files <= 1 {
            return fs::remove_file(&self.path);
        }
        for number in (1..self.limits.files).rev() {
            match fs::rename(self.name(number - 1), self.name(number)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Err(_) | Ok(()) => {}
            }
        }
        Ok(())
    }

    fn name(&self, number: usize) -> OsString {
        let mut name = self.path.clone().into_os_string();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Open> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let found = file.metadata()?;
        let length = found.is_file().then_some(found.len());
        let mut open = Open { file, length, identity: (found.dev(), found.ino()) };
        let mut last = [b'\n'];
        if let Some(at) = length.and_then(|length| length.checked_sub(1)) {
            open.file.read_exact_at(&mut last, at)?;
        }
        if last != [b'\n'] {
            // A process that was killed left half a line.
            open.write(b"\n")?;
        }
        Ok(open)
    }

    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(lines);
        match (&written, &mut self.length) {
            (Ok(()), Some(length)) => *length += lines.len() as u64,
            // A full disk takes a part of it. Where even this fails, the next to open the file ends the half line.
            (Err(_), Some(length)) => drop(self.file.set_len(*length)),
            (_, None) => {}
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Limits, Rotating};

    #[test]
    fn keeps_so_many_files_of_so_many_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let check = |files: usize, expected: &[(&str, &str)]| {
            fs::write(&path, "half").unwrap();
            let mut rotating = Rotating::open(&path, Limits { bytes: 10, files }).unwrap();
            for line in ["one\n", "two\n", "three\n", "a line that is too long\n", "four\n"] {
                rotating.append(line.as_bytes()).unwrap();
            }
            rotating.sync().unwrap();
            let mut found: Vec<_> = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
                .collect();
            found.sort();
            let found: Vec<_> = found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            assert_eq!(found, expected, "{files} files");
            found.iter().for_each(|(name, _)| fs::remove_file(folder.path().join(name)).unwrap());
        };
        check(1, &[("lines", "four\n")]);
        check(2, &[("lines", "four\n"), ("lines.1", "a line that is too long\n")]);
        check(
            4,
            &[
                ("lines", "four\n"),
                ("lines.1", "a line that is too long\n"),
                ("lines.2", "two\nthree\n"),
                ("lines.3", "half\none\n"),
            ],
        );
    }

    #[test]
    fn a_file_that_others_move_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut rotating = Rotating::open(&path, Limits { bytes: 100, files: 2 }).unwrap();
        rotating.append(b"one\n").unwrap();
        fs::rename(&path, folder.path().join("taken")).unwrap();
        rotating.append(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        rotating.append(b"lost\n").unwrap_err();
        fs::remove_dir(&path).unwrap();
        rotating.append(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }
}
