//! What every implementation of [`Disk`] does.

use mqttspec_ports::{Disk, File};
use std::io::{self, ErrorKind};

pub(crate) fn content(disk: &impl Disk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let mut bytes = vec![0; usize::try_from(file.length()?).expect("small")];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Every disk passes this, simulated or real.
pub(crate) fn reads_what_was_written(disk: &impl Disk) -> io::Result<()> {
    assert!(!disk.exists("a")?);
    let file = disk.open("a")?;
    assert!(disk.exists("a")?);
    assert_eq!(file.length()?, 0);
    file.write_at(3, b"defg")?;
    file.write_at(0, b"abc")?;
    file.set_length(6)?;
    file.sync()?;
    let mut bytes = [0; 4];
    file.read_at(2, &mut bytes)?;
    assert_eq!(&bytes, b"cdef");
    assert_eq!(file.read_at(3, &mut bytes).map_err(|e| e.kind()), Err(ErrorKind::UnexpectedEof));
    file.set_length(8)?;
    drop(file);
    assert_eq!(content(disk, "a")?, b"abcdef\0\0");
    disk.remove("a")?;
    assert!(!disk.exists("a")?);
    assert_eq!(disk.remove("a").map_err(|e| e.kind()), Err(ErrorKind::NotFound));
    assert_eq!(disk.open("../a").map(|_| ()).map_err(|e| e.kind()), Err(ErrorKind::InvalidInput));
    Ok(())
}
