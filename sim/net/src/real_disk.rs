//! The [`Disk`] trait implemented by a folder of the real machine.

use mqttspec_ports::{Disk, File};
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A folder of the real machine.
#[derive(Clone, Debug)]
pub struct RealDisk {
    folder: PathBuf,
}

/// A file of the real machine.
#[derive(Debug)]
pub struct RealFile {
    file: Mutex<fs::File>,
}

impl RealDisk {
    /// Uses a folder, and creates it if it does not exist.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn new(folder: impl AsRef<Path>) -> io::Result<RealDisk> {
        fs::create_dir_all(&folder)?;
        Ok(RealDisk { folder: folder.as_ref().to_path_buf() })
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let path = Path::new(name);
        // Exactly one component: no folder, no `..`.
        if path.file_name() != Some(path.as_os_str()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is not a file name")));
        }
        Ok(self.folder.join(path))
    }

    /// Makes file names durable. Only on Unix can a folder be synced. On other systems, this does
    /// nothing and depends on the file system.
    fn sync_folder(&self) -> io::Result<()> {
        if cfg!(unix) { fs::File::open(&self.folder)?.sync_all() } else { Ok(()) }
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn open(&self, name: &str) -> io::Result<RealFile> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path(name)?)?;
        self.sync_folder()?;
        Ok(RealFile { file: Mutex::new(file) })
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path(name)?.try_exists()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name)?)?;
        self.sync_folder()
    }

    async fn settled(&self) {}
}

impl RealFile {
    fn at(&self, offset: u64) -> io::Result<MutexGuard<'_, fs::File>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    }
}

impl File for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.at(0)?.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.at(offset)?.read_exact(buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.at(offset)?.write_all(bytes)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.at(0)?.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.at(0)?.sync_data()
    }
}
