//! The session store of rumqttc-next and rumqttc-v4-next on the disk of a simulated host.

use std::future::Future;
use std::io;
use std::pin::Pin;

use mqttspec::{Disk, File, WorldDisk};
use rumqttc::{PersistedSession, SessionStore, SessionStoreError, SessionStoreKey};

const FILE: &str = "session";

/// A file with a length and a checkpoint.
#[derive(Clone)]
pub struct OnDisk(pub WorldDisk);

type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl OnDisk {
    fn read(&self) -> Result<Option<PersistedSession>, SessionStoreError> {
        if !self.0.exists(FILE)? {
            return Ok(None);
        }
        let file = self.0.open(FILE)?;
        let mut bytes = vec![0; usize::try_from(file.length()?)?];
        file.read_at(0, &mut bytes)?;
        Ok(if bytes.is_empty() { None } else { Some(PersistedSession::decode(&bytes)?) })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let file = self.0.open(FILE)?;
        file.set_length(0)?;
        file.write_at(0, bytes)?;
        file.sync()
    }
}

impl SessionStore for OnDisk {
    fn load<'a>(&'a self, _: &'a SessionStoreKey) -> StoreFuture<'a, Option<PersistedSession>> {
        Box::pin(async { self.read() })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, session: &'a PersistedSession) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(self.write(&session.encode()?)?) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(self.write(&[])?) })
    }
}

impl std::fmt::Debug for OnDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnDisk")
    }
}
