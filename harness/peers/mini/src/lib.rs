//! A small broker for MQTT 3.1.1 and QoS 0, over any stream. It is wrong in three ways on purpose,
//! and checks nothing that it reads.

use std::{cell::RefCell, collections::BTreeMap, io, rc::Rc};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

type Client = (Vec<String>, UnboundedSender<Vec<u8>>);
pub type Clients = Rc<RefCell<BTreeMap<u64, Client>>>;

pub async fn serve(stream: impl AsyncRead + AsyncWrite, number: u64, clients: Clients) -> io::Result<()> {
    let (mut from, mut to) = split(stream);
    let (queue, mut queued) = unbounded_channel();
    clients.borrow_mut().insert(number, (Vec::new(), queue));
    let read = async {
        loop {
            let (first, body) = packet(&mut from).await?;
            match first >> 4 {
                // Mistakes 1 and 2: it accepts any protocol level, and a second CONNECT.
                1 => send(&clients, number, &[0x20, 2, 0, 0]),
                3 => publish(&clients, first, &body),
                // Mistake 3: the SUBACK always has one return code.
                8 => {
                    let filters = filters(&body[2..]);
                    clients.borrow_mut().get_mut(&number).unwrap().0.extend(filters);
                    send(&clients, number, &[0x90, 3, body[0], body[1], 0]);
                }
                12 => send(&clients, number, &[0xd0, 0]),
                14 => return Ok(()),
                _ => {}
            }
        }
    };
    let write = async {
        while let Some(packet) = queued.recv().await {
            to.write_all(&packet).await?;
        }
        Ok(())
    };
    let ended: io::Result<()> = tokio::select! { ended = read => ended, ended = write => ended };
    clients.borrow_mut().remove(&number);
    ended
}

async fn packet(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let first = from.read_u8().await?;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = from.read_u8().await?;
        length |= usize::from(byte & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok((first, body))
}

fn filters(mut rest: &[u8]) -> Vec<String> {
    let mut filters = Vec::new();
    while let [high, low, text @ ..] = rest {
        let (filter, after) = text.split_at(usize::from(*high) << 8 | usize::from(*low));
        filters.push(String::from_utf8_lossy(filter).into_owned());
        rest = &after[1..];
    }
    filters
}

fn publish(clients: &Clients, first: u8, body: &[u8]) {
    let length = usize::from(body[0]) << 8 | usize::from(body[1]);
    let topic = String::from_utf8_lossy(&body[2..2 + length]).into_owned();
    let mut packet = vec![first & 0xf0, u8::try_from(body.len()).unwrap()];
    packet.extend(body);
    for (filters, queue) in clients.borrow().values() {
        if filters.contains(&topic) {
            let _ = queue.send(packet.clone());
        }
    }
}

fn send(clients: &Clients, number: u64, packet: &[u8]) {
    let _ = clients.borrow()[&number].1.send(packet.to_vec());
}
