//! This machine's TCP behind the [`Net`] trait, by the very driver that live targets have, with the
//! names of the stories.

use mqttspec_net::{TcpNet, TcpNetListener};
use mqttspec_ports::{Listener, Net};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use tokio::net::TcpStream;

/// Every name leads to the loopback interface; the first port that was asked for stands for one
/// that was free.
#[derive(Clone)]
pub(crate) struct LoopbackNet {
    net: TcpNet,
    ports: Rc<Cell<Option<(u16, u16)>>>,
}

impl LoopbackNet {
    pub(crate) fn new() -> LoopbackNet {
        LoopbackNet { net: TcpNet::loopback(), ports: Rc::default() }
    }

    /// True once somebody listens.
    pub(crate) fn is_listening(&self) -> bool {
        self.ports.get().is_some()
    }
}

impl Net for LoopbackNet {
    type Stream = TcpStream;
    type Listener = TcpNetListener;

    async fn connect(&self, _: &str, port: u16) -> io::Result<TcpStream> {
        match self.ports.get().filter(|(asked, _)| *asked == port) {
            Some((_, given)) => self.net.connect("127.0.0.1", given).await,
            None => {
                // A port that was free a moment ago.
                let unused = self.net.listen(0).await?.local_addr()?.port();
                self.net.connect("127.0.0.1", unused).await
            }
        }
    }

    async fn listen(&self, port: u16) -> io::Result<TcpNetListener> {
        let listener = self.net.listen(0).await?;
        self.ports.set(Some((port, listener.local_addr()?.port())));
        Ok(listener)
    }

    fn reset(&self, stream: TcpStream) {
        self.net.reset(stream);
    }
}
