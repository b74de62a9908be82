//! What every verb of `landfall policy` works on: a module's file, the folder of its sources, or the built-in module.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    author::build::Language,
    policy::{config::reader, decision::MODULE_BUILTIN, limits::MODULE_BYTES, module::LoadError, store},
};

/// How the file of a component ends.
const EXTENSION: &str = "wasm";

/// A module, not loaded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its name in decisions: the file's without `.wasm`.
    pub name: String,
    /// The component; the built-in module has none.
    pub file: Option<PathBuf>,
    /// The component's bytes.
    pub bytes: Arc<[u8]>,
    /// The policy folder, where one was named.
    pub folder: Option<PathBuf>,
}

/// Why there is nothing to work on.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// There is nothing of that name.
    #[error("{}: no such file or folder", .path.display())]
    NotFound {
        /// As it was named.
        path: PathBuf,
    },
    /// A folder without its component.
    #[error("{}: not built yet: there is no {}", .folder.display(), .component.display())]
    NotBuilt {
        /// The folder, as it was named.
        folder: PathBuf,
        /// The component that is to be in it.
        component: PathBuf,
    },
    /// A file of another kind.
    #[error("{}: not a .wasm file", .path.display())]
    NotAModule {
        /// As it was named.
        path: PathBuf,
    },
    /// It can't be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No module may be that large.
    #[error("{}: {}", .path.display(), LoadError::TooLarge { bytes: *.bytes })]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

impl SubjectError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            SubjectError::NotFound { path } => {
                Some(match reader::nearest(&path.to_string_lossy(), &[MODULE_BUILTIN]) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "name a .wasm file, a policy folder, or `builtin`".to_owned(),
                })
            }
            SubjectError::NotBuilt { folder, component } => Some(match Language::of(folder) {
                Some(_) => format!("build it first: landfall policy build {}", folder.display()),
                None => {
                    format!("there are no sources to build it of: put {} there, or name another", component.display())
                }
            }),
            SubjectError::NotAModule { .. } => Some(
                "name the component that `landfall policy build` makes, or the policy folder that it is in".to_owned(),
            ),
            SubjectError::TooLarge { bytes, .. } => LoadError::TooLarge { bytes: *bytes }.hint().map(str::to_owned),
            SubjectError::Unreadable { .. } => None,
        }
    }
}

impl Subject {
    /// The module that `path` means: a `.wasm` file, a policy folder (its component `<folder name>.wasm`), or the word
    /// `builtin` where there is no file or folder of that name.
    ///
    /// # Errors
    ///
    /// There is none, or it can't be read.
    pub fn open(path: &Path) -> Result<Subject, SubjectError> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return if path == Path::new(MODULE_BUILTIN) {
                    Ok(Subject::builtin())
                } else {
                    Err(SubjectError::NotFound { path: path.to_owned() })
                };
            }
            Err(error) => return Err(SubjectError::Unreadable { path: path.to_owned(), error }),
        };
        if !metadata.is_dir() {
            return open_file(path, None);
        }
        let component = component_of(path)?;
        if !component.exists() {
            return Err(SubjectError::NotBuilt { folder: path.to_owned(), component });
        }
        open_file(&component, Some(path))
    }

    /// Its file, as messages name it; of the built-in module the name.
    pub fn shown(&self) -> String {
        self.file.as_ref().map_or_else(|| self.name.clone(), |file| file.display().to_string())
    }

    /// The module that evaluates `namespaceRoles`.
    pub fn builtin() -> Subject {
        Subject { name: MODULE_BUILTIN.to_owned(), file: None, bytes: store::BUILTIN.into(), folder: None }
    }
}

/// The component of a policy folder, whether or not it is built: `<folder name>.wasm` in it.
///
/// # Errors
///
/// The folder has no name that can be found out.
pub fn component_of(folder: &Path) -> Result<PathBuf, SubjectError> {
    // `.` and `..` have a name only once they are resolved.
    let full = fs::canonicalize(folder).map_err(|error| SubjectError::Unreadable { path: folder.to_owned(), error })?;
    let name = full.file_name().map_or_else(|| "module".to_owned(), |name| name.to_string_lossy().into_owned());
    let file = format!("{name}.{EXTENSION}");
    Ok(if folder == Path::new(".") { PathBuf::from(file) } else { folder.join(file) })
}

fn open_file(path: &Path, folder: Option<&Path>) -> Result<Subject, SubjectError> {
    let unreadable = |error| SubjectError::Unreadable { path: path.to_owned(), error };
    if path.extension().is_none_or(|extension| extension != EXTENSION) {
        return Err(SubjectError::NotAModule { path: path.to_owned() });
    }
    // Read only what may be a module: the path can be anything, however large.
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MODULE_BYTES {
        return Err(SubjectError::TooLarge { path: path.to_owned(), bytes });
    }
    let bytes: Arc<[u8]> = fs::read(path).map_err(unreadable)?.into();
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    Ok(Subject { name, file: Some(path.to_owned()), bytes, folder: folder.map(Path::to_owned) })
}
