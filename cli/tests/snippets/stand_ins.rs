//! What stands for a user's code in the pages. None of it is run.

use core::time::Duration;
use std::io;

use mqttspec::{BrokerCore, Output};

pub(crate) mod my_broker {
    use tokio::io::{AsyncRead, AsyncWrite};

    pub(crate) async fn serve(_: impl AsyncRead + AsyncWrite) {}
}

pub(crate) mod simple_client {
    use super::io;
    use core::net::SocketAddr;
    use tokio::io::{AsyncRead, AsyncWrite};

    pub(crate) struct Client;

    impl Client {
        pub(crate) fn new() -> Self {
            Self
        }

        pub(crate) async fn connect(&mut self, _: impl AsyncRead + AsyncWrite, _: &str) -> io::Result<bool> {
            Ok(false)
        }

        pub(crate) async fn publish(&mut self, _: &str, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
    }

    pub(crate) async fn connect(_: SocketAddr) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) mod client_with_events {
    use super::io;
    use mqttspec::{CommandId, Version};
    use tokio::io::{AsyncRead, AsyncWrite};

    pub(crate) struct Client;

    #[expect(dead_code, reason = "no client runs")]
    pub(crate) enum Event {
        Connected { session_present: bool },
        Published { id: CommandId },
    }

    impl Client {
        pub(crate) fn new(_: Version) -> Self {
            Self
        }

        pub(crate) async fn connect(
            &mut self,
            _: impl AsyncRead + AsyncWrite,
            _: &str,
            _: bool,
        ) -> io::Result<()> {
            Ok(())
        }

        pub(crate) async fn publish(&mut self, _: CommandId, _: String, _: Vec<u8>) -> io::Result<()> {
            Ok(())
        }

        pub(crate) async fn next(&mut self) -> Event {
            core::future::pending().await
        }
    }
}

pub(crate) struct MyCore;

impl MyCore {
    pub(crate) fn new<S>(_: S) -> Self {
        Self
    }
}

impl BrokerCore for MyCore {
    fn opened(&mut self, _: u64, _: Duration) {}
    fn received(&mut self, _: u64, _: &[u8], _: Duration) {}
    fn lost(&mut self, _: u64, _: Duration) {}
    fn deadline(&self) -> Option<Duration> {
        None
    }
    fn timer(&mut self, _: Duration) {}
    fn next(&mut self) -> Option<Output> {
        None
    }
}
