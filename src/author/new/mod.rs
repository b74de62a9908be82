//! A new policy folder: a module that builds as it is, its cases, and nothing that is found nowhere else.
//!
//! The files are those of `policies/templates`, with the module's name in place of `my-policy`.

mod files;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    author::build::Language,
    policy::decision::{MODULE_BUILTIN, MODULE_CORE},
};

/// The name that stands in the templates.
const NAME: &str = "my-policy";
/// A name is as long as a DNS label may be.
const NAME_MAX: usize = 63;

/// Why there is no new folder. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The folder's name can't be that of a module.
    #[error("{name:?} can't be the name of a module: {reason}")]
    Name {
        /// The last part of the path.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// There is something already.
    #[error("{}: there is something in it already", .folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// A file or folder can't be written.
    #[error("{}: {error}", .path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl NewError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            NewError::Name { .. } => {
                Some("begin with a small letter; then small letters, digits and dashes, such as only-signed-images")
            }
            NewError::NotEmpty { .. } => Some("name a folder that doesn't exist yet"),
            NewError::Unwritable { .. } => None,
        }
    }
}

/// Makes the folder, whose last part is the module's name, and gives the files that were written, relative to it.
///
/// # Errors
///
/// The name is none, there is something already, or it can't be written.
pub fn create(folder: &Path, language: Language) -> Result<Vec<&'static str>, NewError> {
    let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if let Some(reason) = wrong_with(&name) {
        return Err(NewError::Name { name, reason });
    }
    let unwritable = |path: &Path, error| NewError::Unwritable { path: path.to_owned(), error };
    match fs::read_dir(folder) {
        Ok(entries) => {
            if entries.count() > 0 {
                return Err(NewError::NotEmpty { folder: folder.to_owned() });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unwritable(folder, error)),
    }
    let files = files::of(language);
    for (path, text) in files {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| unwritable(parent, error))?;
        fs::write(&path, text.replace(NAME, &name)).map_err(|error| unwritable(&path, error))?;
    }
    Ok(files.iter().map(|(path, _)| *path).collect())
}

fn wrong_with(name: &str) -> Option<&'static str> {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if name == MODULE_BUILTIN || name == MODULE_CORE {
        Some("it stands for something else in decisions")
    } else if name.is_empty() {
        Some("it is empty")
    } else if name.len() > NAME_MAX {
        Some("it is longer than 63 characters")
    } else if !name.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        Some("it doesn't begin with a small letter")
    } else if !name.chars().all(plain) || name.ends_with('-') {
        Some("it is no DNS label")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_dns_labels_that_begin_with_a_letter() {
        let check = |name: &str, expected: Option<&str>| assert_eq!(super::wrong_with(name), expected, "{name:?}");
        check("only-signed-images", None);
        check("a1", None);
        check("", Some("it is empty"));
        check("builtin", Some("it stands for something else in decisions"));
        check("1a", Some("it doesn't begin with a small letter"));
        check("-a", Some("it doesn't begin with a small letter"));
        check("a-", Some("it is no DNS label"));
        check("a_b", Some("it is no DNS label"));
        check("Ab", Some("it doesn't begin with a small letter"));
        check(&"a".repeat(64), Some("it is longer than 63 characters"));
    }
}
