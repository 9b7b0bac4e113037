//! The storage of a host. The calls are synchronous, because stores such as redb are synchronous.

use std::fmt;
use std::future::Future;
use std::io;

/// Storage of a host: files by name, without folders.
pub trait Disk: Clone + 'static {
    /// An open file.
    type File: File;

    /// Opens a file, and creates it if it does not exist. Once this returns, its name survives a
    /// crash.
    ///
    /// # Errors
    /// Errors of the disk.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Whether a file of that name exists.
    ///
    /// # Errors
    /// Errors of the disk.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Removes a file. Once this returns, the removal survives a crash.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns when every earlier [`File::sync`] is durable. A simulated disk may be slow to sync,
    /// and synchronous code cannot wait for simulated time. So a driver waits here before it sends
    /// anything that depends on the data.
    fn settled(&self) -> impl Future<Output = ()>;
}

/// An open file.
pub trait File: fmt::Debug + Send + Sync + 'static {
    /// The length in bytes.
    ///
    /// # Errors
    /// Errors of the disk.
    fn length(&self) -> io::Result<u64>;

    /// Fills the buffer with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before the buffer does.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes all of the bytes, and lengthens the file if necessary. A crash may lose them until
    /// the next sync.
    ///
    /// # Errors
    /// `StorageFull`, and other errors of the disk. After one, some of the bytes may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Truncates the file, or lengthens it with zeros.
    ///
    /// # Errors
    /// `StorageFull`, and other errors of the disk.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes all written bytes durable (see [`Disk::settled`]).
    ///
    /// # Errors
    /// Errors of the disk. After one, it is unknown whether the bytes written since the last sync
    /// are durable.
    fn sync(&self) -> io::Result<()>;
}
