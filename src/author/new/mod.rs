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
    pub fn hint(&self) -> Option<String> {
        match self {
            NewError::Name { name, .. } => Some(match good_name(name) {
                Some(name) => format!("how about {name:?}?"),
                None => "begin with a small letter; then small letters, digits and dashes, such as only-signed-images"
                    .to_owned(),
            }),
            NewError::NotEmpty { folder } if folder.file_name().is_none() => {
                Some("name the new module: landfall policy new only-signed-images".to_owned())
            }
            NewError::NotEmpty { .. } => Some("name a folder that doesn't exist yet, or is empty".to_owned()),
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
    let unwritable = |path: &Path, error| NewError::Unwritable { path: path.to_owned(), error };
    // `.` and `..` have a name only once they are resolved.
    let named = match folder.file_name() {
        Some(_) => folder.to_owned(),
        None => fs::canonicalize(folder).map_err(|error| unwritable(folder, error))?,
    };
    if folder.file_name().is_none() {
        must_be_empty(folder)?;
    }
    let name = named.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if let Some(reason) = wrong_with(&name) {
        return Err(NewError::Name { name, reason });
    }
    must_be_empty(folder)?;
    let files = files::of(language);
    for (path, text) in files {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| unwritable(parent, error))?;
        fs::write(&path, text.replace(NAME, &name)).map_err(|error| unwritable(&path, error))?;
    }
    Ok(files.iter().map(|(path, _)| *path).collect())
}

fn must_be_empty(folder: &Path) -> Result<(), NewError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(NewError::NotEmpty { folder: folder.to_owned() }),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(NewError::Unwritable { path: folder.to_owned(), error }),
    }
}

/// The name that is most like this one and can be a module's, if one is.
fn good_name(name: &str) -> Option<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let good: String = name.chars().map(plain).collect();
    let good = good.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let good: String = good.chars().take(NAME_MAX).collect();
    let good = good.trim_end_matches('-');
    (wrong_with(good).is_none() && good != name).then(|| good.to_owned())
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

    #[test]
    fn another_name_is_offered() {
        let check =
            |name: &str, expected: Option<&str>| assert_eq!(super::good_name(name).as_deref(), expected, "{name:?}");
        check("Only_Signed Images", Some("only-signed-images"));
        check("9-lives-", Some("lives"));
        check("builtin", None);
        check("", None);
        check("__", None);
    }
}
